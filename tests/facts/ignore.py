"""F: the attribute ignore."""

from __future__ import annotations

from tests.facts import (
    HEAD,
    Case,
    app,
    apps,
    bound,
    good,
    host,
    hosts,
    in_profile,
    playlist,
    playlists,
    server,
    video,
    within,
)

RTMP = within("Providers/RTMP", bound)
REST = '<VirtualHosts><VirtualHost include="h.xml"/></VirtualHosts>'

CASES = (
    *good("F37", bad_leaf=RTMP('<Port ignore="true">nothing</Port>'),
          bad_object=bound('<Providers ignore="true"><Foo/>text</Providers>'),
          bad_item=apps(app(), '<Application ignore="true"><Name>x</Name></Application>'),
          bad_text=server('<IP ignore="true">not an address</IP>'),
          twin=hosts(host(), host().replace("<VirtualHost>", '<VirtualHost ignore="true">')),
          next_sibling=server(head='<Type ignore="true">x</Type><Type>edge</Type><IP>*</IP>'),
          false=RTMP('<Port ignore="false">1935</Port>'),
          single_quotes=RTMP("<Port ignore='true'>nothing</Port>"),
          empty_ignore=RTMP('<Port ignore="">1935</Port>'),
          include_beside_ignore=bound('<Providers ignore="true" include="no/such/file.xml"/>'),
          inside_an_encode=video('<BFrames ignore="true">99</BFrames>')),
    *(Case("F37", f"no-effect-{name}", RTMP(f'<Port ignore="{value}">nothing</Port>'), "error",
           "nothing</Port") for name, value in (
        ("capitals", "TRUE"), ("capital", "True"), ("one", "1"), ("yes", "yes"), ("blank", "true "),
        ("false", "false"), ("empty", ""))),
    Case("F37", "by-a-macro", RTMP('<Port ignore="${env:OFF}">nothing</Port>'),
         env={"OFF": "true"}),
    Case("F37", "by-the-default-of-a-macro", RTMP('<Port ignore="${env:OFF:true}">nothing</Port>')),
    Case("F37", "not-by-a-macro", RTMP('<Port ignore="${env:OFF:true}">nothing</Port>'), "error",
         "nothing</Port", env={"OFF": "no"}),
    Case("F37", "required-leaf", server(head=HEAD.replace("<Type>", '<Type ignore="true">')),
         "error", "<Server", code="missing-element"),
    Case("F37", "required-object", server().replace("<Bind>", '<Bind ignore="true">'), "error",
         "<Server", code="missing-element"),
    Case("F37", "required-of-an-item", apps(app().replace("<Name>", '<Name ignore="true">')),
         "error", "<Application>", code="missing-element"),
    Case("F37", "bad-next-sibling",
         server(head='<Type ignore="true">edge</Type><Type>x</Type><IP>*</IP>'), "error",
         "x</Type"),
    Case("F37", "codec", in_profile('<Encodes><Video><Codec ignore="true">h264</Codec>'
         "<Bitrate>1M</Bitrate></Video></Encodes>"), "error", "<Video>", code="missing-element"),
    Case("F37", "encode-of-a-rendition", playlists(playlist(
        "<Rendition><Name>r</Name><Video>v</Video></Rendition>")).replace(
        "<Video><Name>v", '<Video ignore="true"><Name>v'), "error", "v</Video><"),
    Case("F38", "ignored-root", server(start='<Server version="8" ignore="true">'), "error",
         "<Server"),
    *good("F38", root_not_ignored=server(start='<Server version="8" ignore="false">'),
          ),
    Case("F37", "capitals-on-a-good-value", RTMP('<Port ignore="TRUE">1935</Port>'), "warning",
         "ignore"),
    Case("F38", "root-in-capitals", server(start='<Server version="8" ignore="TRUE">'), "warning",
         "ignore"),
    Case("F38", "root-of-an-included-file", server(REST), "warning", "ignore",
         {"h.xml": host().replace("<VirtualHost>", '<VirtualHost ignore="true">')}),
    Case("F38", "root-of-an-included-file-counts", server(REST), "error", "<Foo",
         {"h.xml": host("<Foo/>").replace("<VirtualHost>", '<VirtualHost ignore="true">')}),
)  # fmt: skip
