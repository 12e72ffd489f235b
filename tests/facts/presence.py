"""D: what is there twice, not at all, or empty."""

from __future__ import annotations

from tests.facts import (
    HEAD,
    Case,
    app,
    apps,
    audio,
    bound,
    each,
    encode,
    good,
    host,
    hosts,
    in_app,
    in_host,
    in_profile,
    playlist,
    playlists,
    profiles,
    server,
    video,
    within,
)

RTMP = within("Providers/RTMP", bound)
LLHLS = within("Publishers/LLHLS", in_app)
ORIGIN = within("Origins/Origin", in_host)
PASS = "<Pass><Scheme>ovt</Scheme><Urls><Url>o:9000/a</Url></Urls></Pass>"
LOCATION = "<Location>/</Location>"
DUMP = within("Dumps/Dump", LLHLS)
TOKEN = "<API><AccessToken>t</AccessToken></API>"
NAMED = "<Host><Names><Name>*</Name></Names></Host>"


def twice(name: str, text: str, second: str) -> Case:
    return Case("D22", name, text, "warning", second, code="duplicate-element")


def missing(name: str, text: str, parent: str) -> Case:
    return Case("D24", name, text, "error", parent, code="missing-element")


def lacking(name: str, text: str, parent: str) -> Case:
    return Case("D24", f"{name}-is-optional", text, "warning", parent, code="missing-element")


CASES = (
    twice("leaf", RTMP("<Port>1935</Port>\n<Port>1936</Port>"), "<Port>1936"),
    twice("leaf-of-the-same-value", RTMP("<Port>1935</Port><Port >1935</Port>"), "<Port >"),
    twice("second-leaf-is-bad", RTMP("<Port>1935</Port><Port>bad</Port>"), "<Port>bad"),
    twice("object", server("<Modules/><Modules><ETag/></Modules>"), "<Modules><ETag"),
    twice("second-object-has-unknown", server("<Modules/><Modules><Foo/></Modules>"),
          "<Modules><Foo"),
    twice("third", LLHLS("<SegmentCount>4</SegmentCount><SegmentCount>5</SegmentCount>"
                         "<SegmentCount>6</SegmentCount>"), "<SegmentCount>6"),
    twice("apart", video("<Width>640</Width><Height>360</Height><Width>1280</Width>"),
          "<Width>1280"),
    twice("type", server("<Type>nothing</Type>"), "<Type>nothing"),
    twice("bind", server("<Bind><Rubbish/></Bind>"), "<Bind><Rubbish"),
    twice("second-is-an-include", server('<Modules/><Modules include="none/x.xml"/>'),
          "<Modules include"),
    twice("second-text-of-a-name", apps(app().replace("</Name>", "</Name><Name>other</Name>")),
          "<Name>other"),
    Case("D22", "items-are-not-twice", in_profile(
        "<Encodes><Audio><Bypass>true</Bypass></Audio><Audio><Bypass>true</Bypass></Audio>"
        "</Encodes>")),
    *good("D22", list_twice=server("<IP>::</IP>"),
          list_apart=server("<IP>::</IP><Name>x</Name><IP>127.0.0.1</IP>"),
          first_of_two_ignored=RTMP('<Port ignore="true">bad</Port><Port>1936</Port>'),
          second_of_two_ignored=RTMP('<Port>1936</Port><Port ignore="true">bad</Port>')),
    Case("D22", "first-is-bad", RTMP("<Port>bad</Port><Port>1936</Port>"), "error", "bad</Port"),
    Case("D23", "no-type", server(head="<IP>*</IP>"), "error", "<Server", code="missing-element"),
    Case("D23", "no-bind", server().replace("<Bind></Bind>", ""), "error", "<Server",
         code="missing-element"),
    Case("D23", "no-application-name", apps("<Application><Type>vod</Type></Application>"),
         "error", "<Application>", code="missing-element"),
    *good("D23", all_there=apps("<Application><Type>vod</Type><Name>x</Name></Application>")),
    missing("virtual-host-without-name", hosts(f"<VirtualHost>{NAMED}</VirtualHost>"),
            "<VirtualHost>"),
    missing("application-without-type", apps("<Application><Name>x</Name></Application>"),
            "<Application>"),
    missing("profile-without-name", profiles(
        "<OutputProfile><OutputStreamName>s</OutputStreamName></OutputProfile>"),
        "<OutputProfile>"),
    missing("profile-without-stream-name", profiles(
        "<OutputProfile><Name>n</Name></OutputProfile>"), "<OutputProfile>"),
    missing("playlist-without-file-name", in_profile("<Playlist><Name>l</Name></Playlist>"),
            "<Playlist>"),
    missing("rendition-without-name", playlists(playlist(
        "<Rendition><Video>v</Video></Rendition>")), "<Rendition>"),
    missing("template-without-name", playlists(playlist(
        "<RenditionTemplate><VideoTemplate/></RenditionTemplate>")), "<RenditionTemplate>"),
    missing("track-set-without-name", playlists(
        "<TrackSet><Video><Name>v</Name></Video></TrackSet>"), "<TrackSet>"),
    missing("track-without-name", playlists(
        "<TrackSet><Name>t</Name><Video><IndexHint>0</IndexHint></Video></TrackSet>"), "<Video>"),
    missing("origin-without-location", ORIGIN(PASS), "<Origin>"),
    missing("origin-without-pass", ORIGIN(LOCATION), "<Origin>"),
    missing("pass-without-scheme", ORIGIN(LOCATION + PASS.replace("<Scheme>ovt</Scheme>", "")),
            "<Pass>"),
    missing("pass-without-urls", ORIGIN(f"{LOCATION}<Pass><Scheme>ovt</Scheme></Pass>"), "<Pass>"),
    missing("urls-without-url", ORIGIN(f"{LOCATION}<Pass><Scheme>ovt</Scheme><Urls/></Pass>"),
            "<Urls/>"),
    missing("header-without-key", within("CrossDomains", LLHLS)(
        "<Header><Value>v</Value></Header>"), "<Header>"),
    missing("header-without-value", within("Defaults/CrossDomains", server)(
        "<Header><Key>k</Key></Header>"), "<Header>"),
    missing("dump-without-enable", DUMP(
        "<TargetStreamName>s</TargetStreamName><OutputPath>/d</OutputPath>"), "<Dump>"),
    missing("dump-without-target", DUMP("<Enable>true</Enable><OutputPath>/d</OutputPath>"),
            "<Dump>"),
    missing("dump-without-path", DUMP(
        "<Enable>true</Enable><TargetStreamName>s</TargetStreamName>"), "<Dump>"),
    missing("subtitle-without-label", within("Subtitles/Rendition", in_app)(
        "<Language>en</Language>"), "<Rendition>"),
    missing("ice-server-without-urls", within("Providers/WebRTC/IceServers/IceServer", bound)(
        "<UserName>u</UserName>"), "<IceServer>"),
    missing("srt-option-without-value", within("Publishers/SRT/Options/Option", bound)(
        "<Key>SRTO_LATENCY</Key>"), "<Option>"),
    missing("second-of-a-list", apps(app(), "<Application><Name>y</Name></Application>"),
            "<Application><Name>y"),
    lacking("host-of-managers", server(f"<Managers>{TOKEN}</Managers>"), "<Managers>"),
    lacking("everything-of-managers", server("<Managers/>"), "<Managers/>"),
    lacking("token", server(f"<Managers>{NAMED}<API/></Managers>"), "<API/>"),
    lacking("url-of-alert", server("<Alert/>"), "<Alert/>"),
    lacking("names-of-host", hosts("<VirtualHost><Name>x</Name><Host/></VirtualHost>"), "<Host/>"),
    lacking("certificate", hosts(host().replace("</Host>", "<TLS/></Host>")), "<TLS/>"),
    lacking("key-of-the-certificate", hosts(host().replace(
        "</Host>", "<TLS><CertPath>c</CertPath></TLS></Host>")), "<TLS>"),
    lacking("everything-of-signed-policy", in_host("<SignedPolicy/>"), "<SignedPolicy/>"),
    lacking("everything-of-webhooks", in_host("<AdmissionWebhooks/>"), "<AdmissionWebhooks/>"),
    lacking("redis", in_host("<OriginMapStore/>"), "<OriginMapStore/>"),
    lacking("redis-host", in_host("<OriginMapStore><RedisServer/></OriginMapStore>"),
            "<RedisServer/>"),
    lacking("root-of-schedule", within("Providers", in_app)("<Schedule/>"), "<Schedule/>"),
    lacking("folder-of-multiplex", within("Providers", in_app)("<Multiplex/>"), "<Multiplex/>"),
    lacking("url-of-transcode-webhook", in_app("<TranscodeWebhook/>"), "<TranscodeWebhook/>"),
    lacking("virtual-hosts", server("<VirtualHosts/>"), "<VirtualHosts/>"),
    lacking("items-of-audio-map", within("Providers/SRT", in_app)("<AudioMap/>"), "<AudioMap/>"),
    lacking("streams-of-stream-map", within("Providers/MPEGTS", in_app)("<StreamMap/>"),
            "<StreamMap/>"),
    *good("D25", minimal='<Server version="8"><Type>origin</Type><IP>*</IP><Bind/></Server>',
          minimal_of_an_edge='<Server version="8"><Bind/><IP>::</IP><Type>edge</Type></Server>',
          no_applications=in_host("<Applications/>")),
    Case("D25", "no-ip", server(head="<Type>origin</Type>"), "error", "<Server",
         code="missing-element"),
    Case("D25", "nothing-at-all", '<Server version="8"/>', "error", "<Server"),
    Case("D26", "video-without-codec", encode("<Video><Bitrate>1M</Bitrate></Video>"), "error",
         "<Video>", code="missing-element"),
    Case("D26", "audio-without-bitrate", encode("<Audio><Codec>opus</Codec></Audio>"), "error",
         "<Audio>", code="missing-element"),
    Case("D26", "bypass-is-no", encode("<Video><Bypass>no</Bypass></Video>"), "error", "<Video>",
         code="missing-element"),
    *good("D26", bypassed_audio=encode("<Audio><Bypass>true</Bypass></Audio>"),
          image_without_codec=encode("<Image><Width>640</Width></Image>")),
    *each("D27", "Distribution", in_host, ("good", "empty", "")),
    *each("D27", "SegmentCount", LLHLS, ("warning", "empty", "")),
    *each("D27", "SegmentDuration", LLHLS, ("warning", "empty", "")),
    *each("D27", "OriginMode", LLHLS, ("warning", "empty", "")),
    *each("D27", "NoInputFailoverTimeout", within("Origins/Properties", in_host),
          ("warning", "empty", "")),
    *good("D27", empty_objects=in_app("<Providers/><Publishers><LLHLS/><WebRTC></WebRTC>"
                                      "</Publishers><OutputProfiles/>")),
    *each("D27", "Port", RTMP, ("error", "empty", "")),
    Case("D27", "Preset-self-closed", video("<Preset/>"), "error", "<Preset/>"),
    Case("D27", "Profile-self-closed", video("<Profile/>"), "error", "<Profile/>"),
    Case("D27", "SkipFrames-self-closed", video("<SkipFrames/>"), "warning", "<SkipFrames/>"),
    Case("D27", "Bitrate-self-closed", encode("<Audio><Codec>aac</Codec><Bitrate/></Audio>"),
         "error", "<Bitrate/>"),
    Case("D27", "Port-self-closed", RTMP("<Port />"), "error", "<Port />"),
    *each("D28", "Port", RTMP, ("error", "blank", " \n\t ")),
    *each("D28", "SegmentCount", LLHLS, ("warning", "blank", "  ")),
    *each("D28", "Samplerate", audio, ("warning", "blank", "\n")),
    Case("D28", "blank-type", server(head=HEAD.replace("origin", "  ")), "error", "<Type"),
    *good("D28", blank_bind=bound(" \n\t "), blank_name=server("<Name>  </Name>")),
    Case("D29", "empty-ip", server(head="<Type>origin</Type><IP/>"), "warning", "<IP/>"),
    *good("D29",
          ip_from_no_file=server(head='<Type>origin</Type><IP include="none-*.xml"/>'),
          second_ip_counts=server(head='<Type>origin</Type><IP ignore="true">x y</IP><IP>*</IP>')),
    Case("D29", "all-ips-ignored", server(
        head='<Type>origin</Type><IP ignore="true">*</IP><IP ignore="true">::</IP>'), "error",
        "<Server", code="missing-element"),
    Case("D29", "all-urls-ignored", ORIGIN(LOCATION + PASS.replace(
        "<Url>", '<Url ignore="true">')), "error", "<Urls>", code="missing-element"),
)  # fmt: skip
