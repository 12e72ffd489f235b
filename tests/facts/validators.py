"""V1 to V9 and V27 to V34: validators of the server, its ports, providers and publishers."""

from __future__ import annotations

from tests.facts import (
    Case,
    bound,
    each,
    encode,
    good,
    in_app,
    in_host,
    server,
    within,
)

OVT = within("Publishers/OVT", bound)
SRT = within("Providers/SRT", bound)
MPEGTS = within("Providers/MPEGTS", bound)
ICE = within("Publishers/WebRTC/IceCandidates", bound)


def alert(inside: str) -> str:
    """A Server.xml with rules of an alert."""
    must = "<Url>http://a.example/</Url><SecretKey>k</SecretKey><Timeout>1</Timeout>"
    return server(f"<Alert>{must}<Rules>{inside}</Rules></Alert>")


INGRESS = within("Ingress", alert)
EGRESS = within("Egress", alert)
REDIS = within("OriginMapStore/RedisServer", in_host)
POLICY = within("SignedPolicy", lambda inside: in_host(
    inside.replace("<SignedPolicy>", "<SignedPolicy><PolicyQueryKeyName>p</PolicyQueryKeyName>"
                   "<SignatureQueryKeyName>s</SignatureQueryKeyName><SecretKey>k</SecretKey>"
                   "<Enables>").replace("</SignedPolicy>",
                                        "</Enables></SignedPolicy>")))  # fmt: skip

V1 = (
    *each("V1", "Type", lambda x: server(head=f"{x}<IP>*</IP>"),
          ("good", "origin", "origin"), ("good", "edge", "edge"), ("error", "capital", "Origin"),
          ("error", "blank", " origin"), ("error", "empty", ""), ("error", "other", "relay"),
          ("error", "both", "origin,edge"), ("error", "capitals", "EDGE"), prefix="server-type"),
)  # fmt: skip

V2 = (
    *each("V2", "Port", OVT,
          ("good", "plain", "9000"), ("good", "blanks", " 9000 "), ("good", "least", "1"),
          ("good", "most", "65535"), ("good", "tcp", "9000/tcp"),
          ("good", "capitals", "9000/TCP"),
          ("good", "udp", "9000/udp"), ("good", "srt", "9000/srt"),
          ("good", "blank-behind-the-slash", "9000/ tcp"),
          ("good", "blank-before-the-slash", "9000 /tcp"),
          ("warning", "junk", "9000abc"), ("warning", "list", "9000,9001"),
          ("warning", "range", "9000-9004"), ("warning", "fraction", "9000.5"),
          ("warning", "two-protocols", "9000/tcp/udp"),
          ("error", "zero", "0"), ("error", "too-large", "65536"), ("error", "negative", "-1"),
          ("error", "empty", ""), ("error", "word", "abc"), ("error", "turned", "tcp/9000"),
          ("error", "hexadecimal", "0x2328"), ("error", "sctp", "9000/sctp"),
          ("error", "no-protocol", "9000/"), ("error", "overflow", "4294968296"),
          ("error", "address", "*:9000"), prefix="ovt-port"),
    *each("V2", "TLSPort", within("Publishers/LLHLS", bound),
          ("good", "plain", "8443"), ("error", "http", "8443/http"), ("error", "word", "https"),
          ("warning", "range", "8443-8444"), prefix="llhls-tls"),
    *each("V2", "Port", within("Providers/WebRTC/Signalling", bound),
          ("good", "plain", "3333"), ("error", "zero", "0"), prefix="signalling"),
    *each("V2", "Port", within("Managers/API", lambda x: server(
        "<Managers><Host><Names><Name>*</Name></Names></Host><API><AccessToken>t</AccessToken>"
        "</API></Managers>", bind=x)), ("good", "plain", "8081"), ("error", "word", "api"),
        prefix="api-port"),
    *each("V2", "Port", within("Providers/RTSPC", bound), ("error", "word", "rtsp"),
          prefix="rtspc-port"),
)  # fmt: skip

RANGES = (
    ("good", "plain", "4000"), ("good", "list-of-all", "4000-4004,4005/udp"),
    ("good", "blanks-in-a-list", "4000-4004, 4005 /udp"), ("good", "blanks", " 4000 - 4004 "),
    ("good", "range-of-one", "4000-4000"), ("good", "one-twice", "4000,4000"),
    ("good", "all", "1-65535"), ("warning", "unknown-protocol", "4000/foo"),
    ("warning", "junk", "4000abc"), ("warning", "two-protocols", "4000/udp,4001/tcp"),
    ("error", "comma-at-the-end", "4000,"), ("error", "empty", ""), ("error", "protocol", "/udp"),
    ("error", "zero", "0"), ("error", "too-large", "65536"), ("error", "word", "abc"),
    ("error", "turned-range", "4004-4000"), ("error", "no-end", "4000-"),
    ("error", "no-start", "-4000"), ("error", "three-ends", "1-2-3"),
    ("error", "end-too-large", "4000-65536"), ("error", "from-zero", "0-10"),
    ("error", "comma-at-the-start", ",4000"), ("error", "colon", "4000:4004"),
)  # fmt: skip
V3 = (
    *each("V3", "Port", MPEGTS, *(row if row[1] != "colon" else ("warning", *row[1:])
                                    for row in RANGES), prefix="mpegts-port"),
    *each("V3", "Port", SRT, ("good", "plain", "9999"), ("good", "protocol", "9999/srt"),
          ("good", "list", "9998,9999"), ("error", "turned", "9999-9998"),
          ("error", "word", "srt"), prefix="srt-port"),
    *each("V3", "TLSPort", SRT, ("error", "word", "x"), prefix="srt-tls"),
    *each("V3", "Port", lambda inside: server(
        f"<VirtualHosts><VirtualHost><Name>d</Name><Applications><Application><Name>a</Name>"
        f"<Type>live</Type><Providers><MPEGTS><StreamMap><Stream><Name>s</Name>{inside}</Stream>"
        f"</StreamMap></MPEGTS></Providers></Application></Applications></VirtualHost>"
        f"</VirtualHosts>",
        bind="<Providers><MPEGTS><Port>4000-4010/udp</Port></MPEGTS></Providers>"),
        ("good", "one", "4000"), ("good", "range", "4001-4002/udp"),
        ("error", "turned", "4002-4001"),
        ("error", "empty", ""), ("error", "word", "first"), prefix="stream-map"),
)  # fmt: skip

V2 += (
    *each("V2", "Port", OVT,
          ("good", "line-breaks", "\n\t9000\n"), ("error", "no-break-space", "\u00a09000"),
          ("error", "wide-digits", "９０００"), ("warning", "blank-inside", "9 000"),
          ("warning", "largest-with-a-fraction", "65535.9"), ("error", "two-slashes", "/9000/tcp"),
          ("error", "blank-protocol", "9000/ "), ("error", "protocol-and-junk", "9000/tcp;"),
          ("error", "wide-blank-in-the-protocol", "9000/\u3000tcp"), prefix="ovt-port"),
)  # fmt: skip
V3 += (
    *each("V3", "Port", MPEGTS,
          ("error", "range-and-empty", "4000-4001,,4002"), ("error", "only-commas", ","),
          ("error", "range-of-words", "a-b"), ("error", "second-of-two", "4000,0"),
          ("error", "no-break-space", "\u00a04000"), ("warning", "dash", "4000\u20134004"),
          ("warning", "junk-in-a-range", "4000x-4004y"), ("warning", "no-protocol", "4000/"),
          prefix="mpegts-port"),
)  # fmt: skip

V4_TO_V6 = (
    *each("V4", "DefaultTransport", ICE,
          ("good", "udp", "udp"), ("good", "tcp", "TCP"), ("good", "relay", "Relay"),
          ("good", "both", "udptcp"), ("good", "all", "ALL"), ("warning", "other", "sctp"),
          ("warning", "empty", ""), ("warning", "blank", " udp")),
    *each("V5", "TcpForce", ICE, ("good", "true", "true"), ("warning", "yes", "yes")),
    *each("V5", "TcpRelayForce", ICE, ("good", "true", "true")),
    *(Case("V6", f"{name}-{how}", build(f"<{name}{text}"), verdict, at)
      for build, name in ((INGRESS, "StreamStatus"), (alert, "InternalQueueCongestion"),
                          (INGRESS, "HasBFrames"),
                          (INGRESS, "LongKeyFrameInterval"), (EGRESS, "LLHLSReady"),
                          (EGRESS, "HLSReady"), (EGRESS, "TranscodeStatus"))
      for how, text, verdict, at in (
        ("present", "/>", "good", ""),
        ("false", f">false</{name}>", "warning", "false"))),
    *each("V6", "StreamStatus", EGRESS, ("good", "true", "true"), ("warning", "zero", "0"),
          prefix="egress-status"),
)  # fmt: skip

RATES = (
    ("good", "plain", "128000"), ("good", "small-k", "128k"), ("good", "large-k", "128K"),
    ("good", "fraction", "2.5M"), ("good", "exponent", "1e3"), ("good", "blank-before-k", "128 k"),
    ("good", "most", "2047M"), ("good", "least", "1"), ("good", "half-a-k", "0.5k"),
    ("warning", "kbps", "128kbps"), ("warning", "giga", "1G"), ("warning", "comma", "2,5M"),
    ("error", "empty", ""), ("error", "zero", "0"), ("error", "negative", "-1"),
    ("error", "word", "abc"), ("error", "k-alone", "k"), ("error", "half", "0.5"),
    ("error", "too-large", "2048M"), ("error", "far-too-large", "3000M"), ("error", "zero-k", "0k"),
)  # fmt: skip
V7 = (
    *each("V7", "Bitrate", lambda x: encode(f"<Video><Codec>h264</Codec>{x}</Video>"), *RATES,
          prefix="video-rate"),
    *each("V7", "Bitrate", lambda x: encode(f"<Audio><Codec>opus</Codec>{x}</Audio>"),
          ("good", "k", "64k"), ("error", "zero", "0"), ("error", "word", "low"),
          ("warning", "unit", "64kbit"), prefix="audio-rate"),
    *each("V7", "MinBitrate", INGRESS, ("good", "m", "1M"), ("error", "zero", "0"),
          ("error", "empty", ""), ("warning", "bps", "1000bps")),
    *each("V7", "MaxBitrate", INGRESS, ("good", "most", "2047M"), ("error", "too-large", "2048M")),
)  # fmt: skip

V8_AND_V9 = (
    *each("V8", "Host", REDIS,
          ("good", "name", "redis.example:6379"), ("good", "short", "h:6379"),
          ("good", "colon", ":"), ("good", "no-port", "h:"), ("error", "no-colon", "h"),
          ("error", "three-parts", "a:b:c"), ("error", "ipv6", "[::1]:6379"),
          ("error", "empty", ""),
          ("error", "url", "redis://h:6379"), prefix="redis"),
    *good("V9",
          cross_domains_of_a_host=in_host("<CrossDomains><Url>*</Url></CrossDomains>"),
          hardware_acceleration=within("OutputProfiles", in_app)(
              "<HardwareAcceleration>true</HardwareAcceleration>"),
          incoming_timestamp=within("Providers/RTMP", in_app)(
              "<UseIncomingTimestamp>true</UseIncomingTimestamp>"),
          providers_file=within("Providers", in_app)("<FILE>false</FILE>"),
          old_pushes=within("Publishers", in_app)("<MPEGTSPush/><RTMPPush/><SRTPush/>"),
          record=within("Publishers/FILE/Record", in_app)("<Enable>false</Enable>"),
          subtitles_of_media_options=within("OutputProfiles/MediaOptions/Subtitles", in_app)(
              "<Enable>false</Enable>")),
    Case("V9", "below-a-deprecated-one", within("Publishers/RTMPPush", in_app)("<Port>1</Port>"),
         "error", "<Port"),
)  # fmt: skip


V27_TO_V30 = (
    *(case for name in ("RTMP", "WebRTC") for case in each(
        "V27", "TimestampMode", within(f"Providers/{name}", in_app), ("good", "small", "original"),
        ("good", "as-named", "ZeroBased"), ("error", "auto", "auto"), ("error", "empty", ""),
        ("error", "blank", "Original "), prefix=f"{name}-timestamps")),
    *each("V27", "TimestampMode", within("Providers/OVT", in_app), ("error", "other", "Zero"),
          prefix="OVT-timestamps"),
    *(case for name in ("RTMP", "MPEGTS", "WebRTC", "SRT") for case in each(
        "V28", "PacketSilenceTimeoutMs", within(f"Providers/{name}", in_app), ("good", "zero", "0"),
        ("good", "five-seconds", "5000"), ("error", "negative", "-1"), prefix=f"{name}-silence")),
    *each("V28", "PacketSilenceTimeoutMs", within("Providers/SRT", in_app),
          ("warning", "unit", "5s"), ("warning", "empty", ""), prefix="silence-as-text"),
    *each("V28", "PacketSilenceTimeoutMs", within("Providers/Multiplex", lambda x: in_app(
        x.replace("<Multiplex>", "<Multiplex><MuxFilesDir>m</MuxFilesDir>"))),
        ("good", "five-seconds", "5000"), ("error", "negative", "-5"), prefix="Multiplex-silence"),
    *(case for name in ("RTSPPull", "RTSP", "OVT") for case in each(
        "V28", "PacketSilenceTimeoutMs", within(f"Providers/{name}", in_app),
        ("error", "zero", "0"), ("error", "five-seconds", "5000"), prefix=f"{name}-silence")),
    *each("V28", "PacketSilenceTimeoutMs", within("Providers/Schedule", lambda x: in_app(
        x.replace("<Schedule>", "<Schedule><MediaRootDir>m</MediaRootDir><ScheduleFilesDir>s"
                  "</ScheduleFilesDir>"))), ("error", "any", "1000"), prefix="Schedule-silence"),
    *each("V29", "FirstMediaWaitTimeoutMs", within("Providers/RTMP", in_app),
          ("good", "eight-seconds", "8000"), ("good", "least", "1"), ("error", "zero", "0"),
          ("error", "negative", "-1"), ("error", "empty", ""), ("error", "word", "abc"),
          ("error", "overflow", "2147483648"), ("warning", "unit", "8000ms"), prefix="wait"),
    *(case for name in ("SRT", "WebRTC", "MPEGTS", "RTSPPull") for case in each(
        "V29", "FirstMediaWaitTimeoutMs", within(f"Providers/{name}", in_app),
        ("error", "any", "8000"), prefix=f"{name}-wait")),
    *good("V30", silence_absent=within("Providers", in_app)("<MPEGTS/>"),
          with_a_map=within("Providers/MPEGTS", in_app)("<AudioMap><Item><Name>a</Name></Item>"
                                                        "</AudioMap>")),
)  # fmt: skip

V31_TO_V34 = (
    *each("V31", "BandwidthEstimation", within("Publishers/WebRTC", in_app),
          ("good", "remb", "REMB"), ("good", "small", "transportcc"), ("good", "all", "All"),
          ("good", "empty", ""), ("error", "none", "none"), ("error", "blank", " REMB"),
          ("error", "two", "REMB,TransportCC")),
    *each("V32", "Id", within("Publishers/LLHLS/Dumps/Dump", lambda x: in_app(
        x.replace("<Dump>", "<Dump><Enable>true</Enable><TargetStreamName>s</TargetStreamName>"
                  "<OutputPath>/d</OutputPath>"))), ("good", "written", "d1"),
                  ("good", "empty", ""),
        prefix="dump-id"),
    *(case for side in ("Decoder", "Encoder") for case in each(
        "V33", "Enable", within(f"OutputProfiles/HWAccels/{side}", in_app),
        ("warning", "true", "true"), ("good", "false", "false"), prefix=f"{side}-enable")),
    *each("V34", "Providers", POLICY,
          ("good", "blanks-and-case", " rtmp , WebRTC"), ("good", "one", "srt"),
          ("warning", "bogus", "rtmp,bogus"), prefix="signed-providers"),
    *each("V34", "Publishers", POLICY,
          ("good", "several", "webrtc,llhls,srt"), ("good", "hlsv3", "HLSv3"),
          ("warning", "hls", "hls"), prefix="signed-publishers"),
)  # fmt: skip

CASES = (*V1, *V2, *V3, *V4_TO_V6, *V7, *V8_AND_V9, *V27_TO_V30, *V31_TO_V34)
