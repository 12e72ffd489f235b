"""What is measured: a Server.xml and a Caddy configuration with any number of applications.

Both are made so that one value of one application can be told from all others, which lets the
harness say what the bytes on disk have to be after any number of edits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

TOKEN = "bench-access-token"
FIRST_VALUE = 6
"""What <SegmentDuration> is everywhere before the first edit."""

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<Server version="8">
	<Name>bench</Name>
	<Type>origin</Type>
	<IP>*</IP>
	<Managers><Host><Names><Name>*</Name></Names></Host>
		<API><AccessToken>%s</AccessToken></API></Managers>
	<Bind>
		<Managers><API><Port>8081</Port></API></Managers>
		<Providers><RTMP><Port>1935</Port></RTMP><SRT><Port>9999</Port></SRT></Providers>
		<Publishers><LLHLS><Port>8080</Port></LLHLS>
			<WebRTC><Signalling><Port>3333</Port></Signalling></WebRTC></Publishers>
	</Bind>
	<VirtualHosts><VirtualHost><Name>default</Name>
		<Host><Names><Name>*</Name></Names></Host>
		<Applications>
"""
_TAIL = """		</Applications>
	</VirtualHost></VirtualHosts>
</Server>
"""
_APPLICATION = """			<Application>
				<Name>app{number}</Name>
				<Type>live</Type>
				<!--
					Channel {number}: one encoder over RTMP or SRT, two sizes for the web page.
					Ask the control room before a change here, the evening programme is live.
				-->
				<OutputProfiles>
					<OutputProfile>
						<Name>web</Name>
						<OutputStreamName>${{OriginStreamName}}_web</OutputStreamName>
						<!-- Encoded by the processor. The smaller size is for phones
						and for what is shown beside the articles; nobody has asked for a
						third one yet, and the machine has no room for it either. -->
						<Encodes>
							<Video>
								<Name>v720</Name>
								<Codec>h264</Codec>
								<Bitrate>2500000</Bitrate>
								<Width>1280</Width>
								<Height>720</Height>
							</Video>
							<Video>
								<Name>v360</Name>
								<Codec>h264</Codec>
								<Bitrate>800000</Bitrate>
								<Width>640</Width>
								<Height>360</Height>
							</Video>
							<Audio>
								<Name>stereo</Name>
								<Codec>aac</Codec>
								<Bitrate>128000</Bitrate>
							</Audio>
						</Encodes>
						<Playlist>
							<Name>ladder</Name>
							<FileName>abr</FileName>
							<Rendition>
								<Name>HD</Name>
								<Video>v720</Video>
								<Audio>stereo</Audio>
							</Rendition>
							<Rendition>
								<Name>SD</Name>
								<Video>v360</Video>
								<Audio>stereo</Audio>
							</Rendition>
						</Playlist>
					</OutputProfile>
				</OutputProfiles>
				<Providers><RTMP/><SRT/></Providers>
				<Publishers>
					<WebRTC>
						<Timeout>30000</Timeout>
						<JitterBuffer>false</JitterBuffer>
					</WebRTC>
					<LLHLS>
						<ChunkDuration>0.5</ChunkDuration>
						<SegmentDuration>{value}</SegmentDuration>
						<SegmentCount>10</SegmentCount>
						<!-- Viewers may go back an hour, once there is a disk for it:
						<DVR>
							<Enable>true</Enable>
							<TempStoragePath>/var/tmp/dvr</TempStoragePath>
							<MaxDuration>3600</MaxDuration>
						</DVR>
						-->
					</LLHLS>
				</Publishers>
			</Application>
"""
_OPEN, _CLOSE = b"<SegmentDuration>", b"</SegmentDuration>"


def server_xml(count: int, values: Mapping[int, int] = MappingProxyType({})) -> bytes:
    """A Server.xml with so many applications, app0 and on; values are those edited since."""
    each = (
        _APPLICATION.format(number=number, value=values.get(number, FIRST_VALUE))
        for number in range(count)
    )
    return ((_HEAD % TOKEN) + "".join(each) + _TAIL).encode()


def elements_of_one() -> int:
    """How many elements one application has."""
    text = re.sub("<!--.*?-->", "", _APPLICATION, flags=re.DOTALL)
    return text.count("</") + text.count("/>")


def changed(data: bytes, number: int, value: int) -> bytes:
    """The file with another <SegmentDuration> in one application; no other byte differs."""
    begin, end = _place(data, number)
    return b"".join((data[:begin], str(value).encode(), data[end:]))


def _place(data: bytes, number: int) -> tuple[int, int]:
    begin = data.index(_OPEN, data.index(b"<Name>app%d</Name>" % number)) + len(_OPEN)
    return begin, data.index(_CLOSE, begin)


def route_text(number: int, value: int) -> str:
    """The one value of a route that edits change."""
    return f"{value} seconds a segment, channel {number}"


def caddy_json(count: int, admin_port: int, port: int) -> bytes:
    """A Caddy configuration with so many routes, each with an id; nothing is logged.

    One more, `large`, has as many values as an application, and is as large.
    """
    values = {f"X-Value-{number:02}": [f"value {number:07}"] for number in range(30)}
    large = {
        "@id": "large",
        "match": [{"path": ["/large/*"]}],
        "handle": [{"handler": "headers", "response": {"set": values}}],
    }
    routes: list[dict[str, Any]] = [
        {
            "@id": f"route{number}",
            "match": [{"path": [f"/app{number}/*"]}],
            "handle": [
                {
                    "handler": "static_response",
                    "status_code": 200,
                    "body": route_text(number, FIRST_VALUE),
                }
            ],
        }
        for number in range(count)
    ]
    return json.dumps(
        {
            "admin": {"listen": f"127.0.0.1:{admin_port}"},
            "logging": {"logs": {"default": {"level": "ERROR"}}},
            "apps": {
                "http": {
                    "servers": {
                        "bench": {
                            "listen": [f"127.0.0.1:{port}"],
                            "automatic_https": {"disable": True},
                            "routes": [*routes, large],
                        }
                    }
                }
            },
        }
    ).encode()
