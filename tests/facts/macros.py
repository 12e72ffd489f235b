"""H and I: macros, and options that are paths."""

from __future__ import annotations

from tests.facts import (
    Case,
    app,
    apps,
    bound,
    each,
    good,
    host,
    hosts,
    in_app,
    in_host,
    playlist,
    playlists,
    profile,
    profiles,
    server,
    video,
    within,
)

RTMP = within("Providers/RTMP", bound)


def port(fact: str, name: str, value: str, verdict: str = "good", **env: str) -> Case:
    """A case of a macro where a port is wanted."""
    at = "" if verdict == "good" else value
    return Case(fact, name, RTMP(f"<Port>{value}</Port>"), verdict, at, env=env)


CASES = (
    port("H50", "variable", "${env:P}", P="1935"),
    port("H50", "variable-with-a-protocol", "${env:P}/tcp", P="1935"),
    port("H50", "bad-variable", "${env:P}", "error", P="70000"),
    port("H50", "odd-variable", "${env:P}", "warning", P="1935x"),
    port("H50", "unset", "${env:P}", "error"),
    port("H50", "empty-variable", "${env:P}", "error", P=""),
    port("H50", "default", "${env:P:1935}"),
    port("H50", "bad-default", "${env:P:none}", "error"),
    port("H50", "empty-default-of-a-macro", "${env:P:}", "error"),
    port("H50", "bad-default-not-used", "${env:P:none}", P="1936"),
    port("H50", "default-not-used-for-an-empty-one", "${env:P:1935}", "error", P=""),
    port("H50", "two-in-one-value", "${env:A}${env:B}", A="19", B="35"),
    port("H50", "two-in-one-value-too-large", "${env:A}${env:B}", "error", A="193", B="500"),
    port("H50", "no-name-but-a-default", "${env::1935}"),
    port("H50", "odd-default", "${env:P:1935:1936}", "warning"),
    port("H50", "default-ends-at-the-first-brace", "${env:P:}1935}", "warning"),
    port("H50", "default-of-a-blank", "${env:P: }", "error"),
    port("H50", "text-around", "1${env:P}5", P="93"),
    port("H50", "name-is-not-trimmed", "${env: P}", "error", P="1935"),
    port("H50", "name-by-letter-case", "${env:p}", "error", P="1935"),
    port("H50", "env-in-capitals", "${ENV:P}", "error", P="1935"),
    port("H50", "no-braces", "$P", "error", P="1935"),
    port("H50", "macro-never-closed", "${env:P", "error", P="1935"),
    port("H50", "nothing-behind-env", "${env}", "error"),
    Case("H50", "default-with-colons",
         within("OriginMapStore/RedisServer", in_host)("<Host>${env:R:redis:6379}</Host>")),
    Case("H50", "default-with-blanks", server("<Name>${env:N:my own server}</Name>")),
    Case("H50", "defaults-do-not-nest", RTMP("<Port>${env:P:${env:Q:1935}}</Port>"), "error",
         "${env:P"),
    Case("H50", "version", server(start='<Server version="${env:V}">'), env={"V": "10"}),
    Case("H50", "old-version", server(start='<Server version="${env:V}">'), "error",
         'version="${env:V}"', env={"V": "7"}),
    Case("H50", "number", video("<BFrames>${env:B}</BFrames>"), "error", "${env:B}",
         env={"B": "17"}),
    Case("H50", "names-made-equal", apps(app(name="${env:A}"), app("<!-- -->", name="x")), "error",
         "x</Name>", env={"A": "x"}),
    Case("H50", "names-made-different", apps(app(name="${env:A}"), app(name="${env:B}")),
         env={"A": "x", "B": "y"}),
    port("H51", "host-name-is-set", "${env:HOSTNAME}", HOSTNAME="1935"),
    port("H51", "host-name-is-set-and-bad", "${env:HOSTNAME}", "error", HOSTNAME="web1"),
    Case("H51", "host-name-of-the-machine", server("<Name>${env:HOSTNAME}</Name>")),
    Case("H51", "host-name-with-a-default", server("<Name>${env:HOSTNAME:x}</Name>")),
    *good("H52", home=within("Publishers/FILE", in_app)("<RootPath>${ome:Home}rec</RootPath>"),
          current=within("Publishers/FILE", in_app)("<RootPath>${ome:CurrentPath}</RootPath>"),
          small_letters=server("<Name>${ome:home}</Name>")),
    Case("H52", "home-in-a-variable", server("<Alert><Url>http://a.example/</Url><SecretKey>k"
         "</SecretKey><Timeout>1</Timeout><RulesFile>${env:R}</RulesFile></Alert>"),
         env={"R": "${ome:Home}rules.xml"}),
    port("H52", "variable-in-a-variable", "${env:A}", "error", A="${env:B}", B="1935"),
    port("H52", "home-by-letter-case", "${ome:home}", "error"),
    *good("H53", left_untouched=server("<Name>${Anything} ${x:y}</Name>"),
          dollar=server("<Name>$ $$ {} ${}</Name>")),
    port("H53", "port-macro-is-no-port", "${Port}", "error"),
    port("H53", "nothing-is-no-port", "${}", "error"),
    *good("H54",
          public_ip=within("Publishers/WebRTC/IceCandidates", bound)(
              "<IceCandidate>${PublicIP}:10000/udp</IceCandidate>"),
          stream_name=profiles(profile(stream="${OriginStreamName}_hd")),
          template_name=playlists(playlist(
              "<RenditionTemplate><Name>${Height}p</Name></RenditionTemplate>")),
          dump_path=within("Publishers/LLHLS/Dumps/Dump", in_app)(
              "<Enable>true</Enable><TargetStreamName>s*</TargetStreamName>"
              "<OutputPath>/d/${VHostName}_${StreamName}/${YYYY}</OutputPath>"),
          file_path=within("Publishers/FILE", in_app)(
              "<FilePath>/r/${Application}/${StartTime:YYYYMMDD}.ts</FilePath>")),
    Case("I55", "no-such-certificate", hosts(host().replace(
        "</Host>", "<TLS><CertPath>no.crt</CertPath><KeyPath>/no.key</KeyPath></TLS></Host>"))),
    Case("I55", "no-such-rules", server(
        "<Alert><Url>http://a.example/</Url><SecretKey>k</SecretKey><Timeout>1</Timeout>"
        "<RulesFile>./no.xml</RulesFile></Alert>")),
    *each("I55", "CertPath", lambda x: hosts(host().replace(
        "</Host>", f"<TLS>{x}<KeyPath>k</KeyPath></TLS></Host>")),
        ("warning", "empty", ""), ("good", "parent-folder", "../tls/a.crt")),
    *each("I56", "Path", within("Publishers/Push/StreamMap", lambda x: in_app(
        x.replace("<StreamMap>", "<StreamMap><Enable>true</Enable>"))),
        ("good", "of-a-stream-map", "push/map.xml")),
    *good("I56", schedule_folders=within("Providers/Schedule", in_app)(
        "<MediaRootDir>/no/media</MediaRootDir><ScheduleFilesDir>sch</ScheduleFilesDir>"),
        model=within("Modules/Whisper/PreloadModel", server)("<Path>no/model.bin</Path>")),
)  # fmt: skip
