"""W and A2: what ends the start, or is taken otherwise than written, after the file was loaded."""

from __future__ import annotations

from tests.facts import (
    Case,
    app,
    apps,
    bound,
    each,
    encode,
    good,
    host,
    hosts,
    in_app,
    in_host,
    server,
    within,
)

ICE = within("Providers/WebRTC/IceCandidates", bound)
SRT_OPTION = within("Providers/SRT/Options/Option", lambda inside: bound(
    inside.replace("<SRT>", "<SRT><Port>9999</Port>").replace(
        "<Option>", "<Option><Value>1</Value>")))  # fmt: skip
PUBLISHERS = within("Publishers", in_app)
MANAGERS = (
    "<Managers><Host><Names><Name>*</Name></Names></Host><API><AccessToken>{}</AccessToken></API>"
    "</Managers>"
)
API = "<Managers><API><Port>8081</Port></API></Managers>"
CORS = within("Defaults/CrossDomains", server)


def two_ports(first: str, second: str) -> str:
    """HTTP modules on two ports."""
    return bound(f"<Publishers><LLHLS>{first}</LLHLS><Thumbnail>{second}</Thumbnail></Publishers>")


def stream_map(*ports: str, bind: str = "4000-4001/udp") -> str:
    """MPEG-TS streams of an application."""
    streams = "".join(f"<Stream><Name>s{n}</Name><Port>{port}</Port></Stream>"
                      for n, port in enumerate(ports))  # fmt: skip
    return in_app(
        f"<Providers><MPEGTS><StreamMap>{streams}</StreamMap></MPEGTS></Providers>"
    ).replace("<Bind>", f"<Bind><Providers><MPEGTS><Port>{bind}</Port></MPEGTS></Providers>")


def pull(scheme: str) -> str:
    """An origin of some scheme."""
    return in_host(
        "<Origins><Origin><Location>/a</Location><Pass>"
        f"{scheme}<Urls><Url>o.example:9000/a</Url></Urls></Pass></Origin></Origins>"
    )


CASES = (
    Case("A2", "last-config-xml", server(), "error", "<?xml", {"LastConfig.xml": "<Server/>"}),
    Case("A2", "last-config-json", server(), "error", "<?xml", {"LastConfig.json": "{}"}),
    Case("A2", "last-config-of-another-kind", server(), files={"LastConfig.xml.bak": "x"}),
    Case("W59", "virtual-host-twice", hosts(host(names="a"), host("<!-- 2 -->", names="b")),
         "error", "default</Name><Host><Names><Name>b"),
    *good("W59", host_by_letter_case=hosts(host(names="a"), host(name="Default", names="b")),
          blank_makes_a_difference=hosts(host(names="a"), host(name="default ", names="b"))),
    Case("W60", "application-twice", apps(app(), app("<Providers/>")), "error",
         "app</Name><Type>live</Type>"),
    Case("W60", "hash-is-underscore", apps(app(name="a#b"), app(name="a_b")), "error",
         "a_b</Name>"),
    Case("W60", "template-twice", apps(app(name="*"), app(name="*")), "warning", "*</Name><Type>"),
    *good("W60", in_two_hosts=hosts(*(host(f"<Applications>{app()}</Applications>", name, name)
                                      for name in ("a", "b"))),
          application_by_letter_case=apps(app(name="a"), app(name="A")),
          one_template=apps(app(name="*"), app(name="a"))),
    *good("W61", same_host_names=hosts(host(), host(name="second")),
          no_host_names=hosts("<VirtualHost><Name>x</Name></VirtualHost>")),
    *good("W63", one_port_for_two=two_ports("<Port>3333</Port>", "<Port>3333</Port>"),
          one_tls_port_for_two=two_ports("<TLSPort>3334</TLSPort>", "<TLSPort>3334</TLSPort>")),
    Case("W64", "http-and-https", two_ports("<Port>3333</Port>", "<TLSPort>3333</TLSPort>"),
         "error", "3333</TLSPort"),
    Case("W64", "https-and-http", two_ports("<TLSPort>3333</TLSPort>", "<Port>3333</Port>"),
         "error", "3333</TLSPort"),
    Case("W64", "in-one-module", two_ports("<Port>80</Port><TLSPort>80</TLSPort>",
                                           "<Port>81</Port>"),
         "error", "80</TLSPort"),
    Case("W64", "written-otherwise", two_ports("<Port>3333/tcp</Port>", "<TLSPort>03333</TLSPort>"),
         "error", "03333</TLSPort"),
    Case("W64", "range-of-http", two_ports("<Port>3333-3340</Port>", "<TLSPort>3333</TLSPort>"),
         "error", "3333</TLSPort"),
    Case("W64", "by-macros", two_ports("<Port>${env:A}</Port>", "<TLSPort>${env:B}</TLSPort>"),
         "error", "${env:B}", env={"A": "8080", "B": "8080"}),
    Case("W64", "ignored-http", two_ports('<Port ignore="true">3333</Port><Port>80</Port>',
                                          "<TLSPort>3333</TLSPort>")),
    Case("W64", "with-the-api", server(MANAGERS.format("t"), bind=API
         + "<Publishers><LLHLS><TLSPort>8081</TLSPort></LLHLS></Publishers>"), "error",
         "8081</TLSPort"),
    Case("W64", "with-signalling", bound(
        "<Providers><WebRTC><Signalling><Port>3333</Port></Signalling></WebRTC></Providers>"
        "<Publishers><WebRTC><Signalling><TLSPort>3333</TLSPort></Signalling></WebRTC>"
        "</Publishers>"), "error", "3333</TLSPort"),
    *good("W64", own_ports=two_ports("<Port>80</Port>", "<TLSPort>443</TLSPort>")),
    *good("W65", nothing_bound=bound("<Publishers><LLHLS/><OVT/><SRT/></Publishers>"),
          ports_by_default=bound("<Providers><RTMP/><MPEGTS/></Providers>")),
    Case("W67", "api-without-managers", bound(API), "error", "<API><Port>8081"),
    Case("W67", "api-with-an-empty-token", server(MANAGERS.format(""), bind=API), "error",
         "<API><Port>8081"),
    Case("W67", "api-without-a-token", server("<Managers><Host><Names><Name>*</Name></Names></Host>"
         "</Managers>", bind=API), "error", "<API><Port>8081"),
    Case("W67", "api-on-tls-only", bound(API.replace("Port>", "TLSPort>")), "error",
         "<API><TLSPort"),
    Case("W67", "token-of-an-empty-variable", server(MANAGERS.format("${env:T}"), bind=API),
         "error", "<API><Port>8081"),
    Case("W67", "token-of-a-variable", server(MANAGERS.format("${env:T}"), bind=API),
         env={"T": "secret"}),
    *good("W67", api_with_a_token=server(MANAGERS.format("t&#33;"), bind=API),
          api_without_a_port=bound("<Managers><API/></Managers>"),
          token_without_an_api=server(MANAGERS.format("t"))),
    *good("W68", nothing_is_bound=in_app("<Providers><RTMP/></Providers><Publishers><LLHLS/>"
                                         "<WebRTC/></Publishers>")),
    *good("W69", bound_ports=stream_map("4000", "4001/udp"), all_in_one=stream_map("4000-4001")),
    Case("W69", "port-not-bound", stream_map("4000", "4002"), "warning", "4002</Port"),
    Case("W69", "port-taken", stream_map("4000", "4000/udp"), "warning", "4000/udp"),
    Case("W69", "range-not-bound", stream_map("4001-4002"), "warning", "4001-4002</Port"),
    *each("W70", "IceCandidate", ICE,
          ("good", "udp", "*:10000/udp"), ("good", "list", "*:10000-10003,10010/UDP"),
          ("good", "ports-alone", "10000-10003/udp"),
          ("good", "no-protocol", "192.168.0.1:10000"),
          ("good", "ipv6", "[::]:10000/udp"), ("good", "public-ip", "${PublicIP}:10000/tcp"),
          ("good", "name", "host.example:10000/tcp"), ("good", "last-port", "*:65534/udp"),
          ("good", "range-of-one", "*:10000-10000/udp"), ("good", "one-port-alone", "10000"),
          ("error", "sctp", "*:10000/sctp"), ("error", "two-slashes", "*:10000/udp/x"),
          ("error", "blank", "*:10000/ udp"), ("error", "word", "*:abc/udp"),
          ("error", "turned", "*:10003-10000/udp"), ("error", "port-65535", "*:65535/udp"),
          ("error", "three-ends", "*:1-2-3/udp"), ("error", "no-protocol-name", "*:10000/"),
          ("error", "range-beyond", "*:65530-65535/udp"), ("error", "sign", "*:-1/udp"),
          ("error", "comma", "*:10000,/udp"), ("error", "too-large", "*:100000/udp"),
          ("error", "ipv6-word", "[::1]:x/udp"), ("error", "blank-port", "*: 10000/udp")),
    *each("W70", "IceCandidate", ICE,
          ("good", "tcp-in-capitals", "*:10000/TCP"), ("error", "ports-alone-malformed", "10000-"),
          ("error", "ports-alone-comma", ",10000/udp"),
          ("error", "blank-before-slash", "*:10000 /udp"),
          ("good", "ipv6-range", "[::1]:10000-10004/udp"),
          ("warning", "host-alone", "host.example"),
          ("warning", "ipv6-without-brackets", "fe80::1/udp"),
          ("warning", "ipv6-no-port", "[::1]/udp")),
    *each("W71", "TcpRelay", ICE,
          ("good", "any", "*:3478"), ("good", "public-ip", "${PublicIP}:3478"),
          ("good", "name", "relay.example:3478"), ("good", "ipv6", "[::]:3478"),
          ("error", "word", "*:abc"), ("error", "port-65535", "*:65535"),
          ("error", "protocol", "*:3478/tcp"), ("error", "turned", "*:3479-3478")),
    *each("W72", "Key", SRT_OPTION,
          ("good", "latency", "SRTO_LATENCY"), ("good", "passphrase", "SRTO_PASSPHRASE"),
          ("error", "rcvsyn", "SRTO_RCVSYN"), ("error", "sndsyn", "SRTO_SNDSYN"),
          ("error", "linger", "SRTO_LINGER"), ("error", "crypto-mode", "SRTO_CRYPTOMODE"),
          ("error", "unknown", "SRTO_NOTHING"), ("error", "empty", ""),
          ("error", "no-prefix", "LATENCY")),
    *each("W74", "Codec", lambda x: encode(f"<Video>{x}<Bitrate>1M</Bitrate></Video>"),
          *(("good", name, name) for name in ("H264", "H265", "vp8", "av1")),
          ("warning", "theora", "theora"), ("warning", "hevc", "hevc"), prefix="video-codec"),
    *each("W74", "Codec", lambda x: encode(f"<Audio>{x}<Bitrate>96k</Bitrate></Audio>"),
          *(("good", name, name) for name in ("aac", "OPUS", "mp3")),
          ("warning", "flac", "flac"), ("warning", "video", "h264"), prefix="audio-codec"),
    *each("W74", "Codec", lambda x: encode(f"<Image>{x}</Image>"),
          *(("good", name, name) for name in ("jpeg", "PNG", "webp")),
          ("warning", "gif", "gif"), prefix="image-codec"),
    *good("W76", one_origin=CORS("<Url>*</Url>"), null_alone=CORS("<Url>null</Url>"),
          patterns=CORS("<Url>https://*.example</Url><Url>app.example</Url>")),
    Case("W76", "all-and-one", CORS("<Url>https://a.example</Url><Url>*</Url>"), "warning",
         "*</Url"),
    Case("W76", "null-and-one", CORS("<Url>https://a.example</Url><Url>null</Url>"), "warning",
         "null</Url"),
    *each("W77", "Scheme", pull, ("good", "ovt", "OVT"), ("good", "rtmp", "rtmp"),
          ("good", "rtspc", "rtspc"), ("warning", "http", "http"), ("warning", "srt", "srt")),
    *each("W78", "AppWorkerCount", PUBLISHERS, ("good", "least", "1"), ("good", "most", "72"),
          ("warning", "none", "0"), ("warning", "above", "73")),
    *each("W78", "StreamWorkerCount", PUBLISHERS, ("good", "most", "72"),
          ("warning", "above", "73")),
    *each("W78", "SegmentCount", within("Publishers/LLHLS", in_app), ("good", "least", "3"),
          ("warning", "below", "2")),
    *each("W78", "ThreadCount", within("Modules/TaskPool", server), ("good", "least", "1"),
          ("warning", "none", "0"), prefix="task-pool"),
    *each("W78", "MaxTasks", within("Modules/TaskPool", server), ("good", "least", "1"),
          ("warning", "none", "0")),
    *good("W79", most_connections=within("Providers/RTMP",
                                         in_app)("<MaxConnection>5</MaxConnection>"),
          decodes=in_app("<Decodes><H264hasBframes>2</H264hasBframes></Decodes>"),
          tls_port_of_rtmp=within("Providers/RTMP", bound)("<TLSPort>1936</TLSPort>")),
)  # fmt: skip
