"""V10 to V26: validators of applications, encodes, playlists and track sets."""

from __future__ import annotations

from tests.facts import (
    AUDIO,
    VIDEO,
    Case,
    app,
    apps,
    audio,
    each,
    encode,
    good,
    image,
    in_app,
    in_profile,
    playlist,
    playlists,
    profile,
    profiles,
    video,
    within,
)

SUBTITLES = within("Subtitles", in_app)
MEDIA_SUBTITLES = within("OutputProfiles/MediaOptions/Subtitles", in_app)
ENGLISH = "<Rendition><Language>en</Language><Label>English</Label></Rendition>"
ON = "<Enable>true</Enable>"


def kind_of_interval(kind: str, interval: str, *, turned: bool = False) -> str:
    """A video with both elements of the interval of key frames."""
    both = [f"<KeyFrameIntervalType>{kind}</KeyFrameIntervalType>",
            f"<KeyFrameInterval>{interval}</KeyFrameInterval>"]  # fmt: skip
    return video("".join(reversed(both) if turned else both))


def rendition(name: str = "r", inside: str = "") -> str:
    return f"<Rendition><Name>{name}</Name>{inside}</Rendition>"


def template(inside: str, name: str = "t") -> str:
    return f"<RenditionTemplate><Name>{name}</Name>{inside}</RenditionTemplate>"


def refers(inside: str) -> str:
    return playlists(playlist(rendition(inside=inside)))


def tracks(*names: str, inside: str = "<Video><Name>v</Name></Video>") -> str:
    return playlists(*(f"<TrackSet><Name>{name}</Name>{inside}</TrackSet>" for name in names))


OF_VIDEO = within("VideoTemplate", lambda inside: playlists(playlist(template(inside))))
OF_AUDIO = within("AudioTemplate", lambda inside: playlists(playlist(template(inside))))

V10_AND_V11 = (
    *each("V10", "Type", lambda x: apps(f"<Application><Name>a</Name>{x}</Application>"),
          ("good", "live", "live"), ("good", "vod", "vod"), ("error", "capitals", "LIVE"),
          ("error", "empty", ""), ("error", "other", "relay"), ("error", "blank", "live "),
          prefix="application-type"),
    *good("V11", nothing=SUBTITLES(""),
          label=SUBTITLES(f"<DefaultLabel>English</DefaultLabel>{ENGLISH}"),
          enabled=SUBTITLES(ON + ENGLISH), labels_twice=SUBTITLES(ON + ENGLISH + ENGLISH),
          disabled=SUBTITLES("<Enable>false</Enable>"),
          empty_default=SUBTITLES(f"{ON}<DefaultLabel></DefaultLabel>{ENGLISH}"),
          of_media_options=MEDIA_SUBTITLES(ON + ENGLISH),
          second_label=SUBTITLES(f"{ON}<DefaultLabel>Deutsch</DefaultLabel>{ENGLISH}"
                                 + ENGLISH.replace("English", "Deutsch"))),
    Case("V11", "enabled-without-renditions", SUBTITLES(ON), "error", "true</Enable"),
    Case("V11", "enabled-by-a-number", SUBTITLES("<Enable>1</Enable>"), "error", "1</Enable"),
    Case("V11", "media-options-without-renditions", MEDIA_SUBTITLES(ON), "error", "true</Enable"),
    Case("V11", "only-an-ignored-rendition", SUBTITLES(ON + ENGLISH.replace(
        "<Rendition>", '<Rendition ignore="true">')), "error", "true</Enable"),
    Case("V11", "unknown-label", SUBTITLES(f"{ON}<DefaultLabel>French</DefaultLabel>{ENGLISH}"),
         "error", "French"),
    Case("V11", "unknown-label-while-disabled", SUBTITLES(
        f"<Enable>false</Enable><DefaultLabel>French</DefaultLabel>{ENGLISH}"), "error", "French"),
    Case("V11", "label-by-letter-case", SUBTITLES(
        f"{ON}<DefaultLabel>english</DefaultLabel>{ENGLISH}"), "error", "english</Default"),
    Case("V11", "label-without-renditions", SUBTITLES("<DefaultLabel>x</DefaultLabel>"), "error",
         "x</DefaultLabel"),
    Case("V11", "unknown-label-of-media-options", MEDIA_SUBTITLES(
        f"<DefaultLabel>French</DefaultLabel>{ENGLISH}"), "error", "French"),
)  # fmt: skip

V12_AND_V13 = (
    *good("V12", bypass=encode("<Video><Bypass>true</Bypass></Video>"),
          bypass_in_capitals=encode("<Video><Bypass>TRUE</Bypass></Video>"),
          codec_and_bitrate=encode("<Video><Codec>h264</Codec><Bitrate>1M</Bitrate></Video>"),
          bypass_and_both=encode(f"<Audio><Bypass>true</Bypass>{AUDIO}</Audio>"),
          bypass_behind=encode("<Audio><Name>a</Name><Bypass>true</Bypass></Audio>")),
    Case("V12", "empty-codec", encode("<Video><Codec/><Bitrate>1M</Bitrate></Video>"), "warning",
         "<Codec/>"),
    Case("V12", "codec-nobody-knows", encode("<Video><Codec>zzz</Codec><Bitrate>1M</Bitrate>"
         "</Video>"), "warning", "zzz</Codec"),
    Case("V12", "nothing-written", encode("<Audio/>"), "error", "<Audio/>",
         code="missing-element"),
    Case("V12", "only-codec", encode("<Video><Codec>h264</Codec></Video>"), "error", "<Video>",
         code="missing-element"),
    Case("V12", "only-bitrate", encode("<Audio><Bitrate>64k</Bitrate></Audio>"), "error",
         "<Audio>", code="missing-element"),
    Case("V12", "bypass-is-false", encode("<Audio><Bypass>false</Bypass></Audio>"), "error",
         "<Audio>", code="missing-element"),
    Case("V12", "bypass-is-empty", encode("<Audio><Bypass/></Audio>"), "error", "<Audio>",
         code="missing-element"),
    Case("V12", "bypass-and-bad-bitrate", encode(
        "<Video><Bypass>true</Bypass><Bitrate>abc</Bitrate></Video>"), "error", "abc</Bitrate"),
    Case("V12", "second-of-two", encode(f"<Video>{VIDEO}</Video><Video><Name>w</Name></Video>"),
         "error", "<Video><Name>w", code="missing-element"),
    *good("V13", without_names=encode("<Video><Bypass>true</Bypass></Video><Audio><Bypass>true"
                                       "</Bypass></Audio><Image><Codec>png</Codec></Image>"),
          empty_name=encode("<Video><Name/><Bypass>true</Bypass></Video>"),
          same_name_of_two_kinds=encode(f"<Video>{VIDEO.replace('>v<', '>x<')}</Video>"
                                         f"<Audio>{AUDIO.replace('>a<', '>x<')}</Audio>"),
          same_name_twice=encode(f"<Video>{VIDEO}</Video><Video>{VIDEO}</Video>")),
)  # fmt: skip

V14_TO_V20 = (
    *each("V14", "SkipFrames", video,
          ("good", "least", "-1"), ("good", "zero", "0"), ("good", "most", "120"),
          ("warning", "empty", ""), ("warning", "word", "none"), ("error", "below", "-2"),
          ("error", "above", "121"), prefix="video-skip"),
    *each("V14", "SkipFrames", image, ("good", "most", "120"), ("error", "below", "-2"),
          ("error", "above", "121"), prefix="image-skip"),
    Case("V14", "with-framerate", video("<Framerate>30</Framerate><SkipFrames>10</SkipFrames>"),
         "warning", "10</SkipFrames"),
    Case("V14", "zero-with-framerate",
         video("<SkipFrames>0</SkipFrames><Framerate>30</Framerate>"), "warning", "0</SkipFrames"),
    *good("V14", with_framerate_of_zero=video(
        "<Framerate>0</Framerate><SkipFrames>10</SkipFrames>")),
    *each("V15", "Preset", video,
          *(("good", word, word) for word in ("slower", "slow", "medium", "fast", "FASTER")),
          ("error", "ultrafast", "ultrafast"), ("error", "empty", ""),
          ("error", "blank", " fast")),
    *each("V16", "KeyFrameIntervalType", video,
          ("good", "frame", "frame"), ("good", "capitals", "TIME"), ("error", "other", "frames"),
          ("error", "empty", ""), ("error", "blank", "time ")),
    *each("V17", "KeyFrameInterval", video,
          ("good", "zero", "0"), ("good", "most", "600"), ("error", "above", "601"),
          ("error", "negative", "-1"), ("warning", "unit", "60f"),
          ("error", "far-above", "10001")),
    *good("V17", most_of_time=kind_of_interval("time", "10000"),
          least_of_time=kind_of_interval("time", "1"),
          turned=kind_of_interval("time", "700", turned=True),
          capitals_in_range=kind_of_interval("TIME", "600"),
          frame=kind_of_interval("frame", "600")),
    Case("V17", "no-time", kind_of_interval("time", "0"), "error", "0</KeyFrameInterval"),
    Case("V17", "too-much-time", kind_of_interval("time", "10001"), "error", "10001"),
    Case("V17", "time-in-capitals", kind_of_interval("TIME", "10000"), "error", "10000"),
    Case("V17", "frame-turned", kind_of_interval("frame", "700", turned=True), "error", "700"),
    Case("V17", "word-of-time", kind_of_interval("time", "two"), "error", "two<"),
    Case("V17", "empty-time", kind_of_interval("time", ""), "error", "<KeyFrameInterval>"),
    Case("V17", "overflow-of-time", kind_of_interval("time", "4294967396"), "error", "4294967396"),
    Case("V17", "overflow-of-frames", kind_of_interval("frame", "4294967396"), "warning",
         "4294967396"),
    Case("V17", "negative-time", kind_of_interval("time", "-5"), "error", "-5<"),
    *each("V14", "SkipFrames", video, ("error", "above-with-junk", "121x"),
          ("warning", "most-with-a-fraction", "120.9"), ("warning", "overflow", "4294967295"),
          prefix="video-skip"),
    *each("V18", "BFrames", video, ("warning", "word", "many"), ("error", "above-with-junk", "17b"),
          ("warning", "overflow", "4294967313"), ("good", "blank", " 3")),
    *each("V18", "BFrames", video,
          ("good", "zero", "0"), ("good", "most", "16"), ("error", "negative", "-1"),
          ("error", "above", "17"), ("warning", "fraction", "16.9")),
    *each("V19", "Profile", video,
          ("good", "baseline", "baseline"), ("good", "main", "MAIN"), ("good", "high", "High"),
          ("error", "high10", "high10"), ("error", "empty", ""), ("error", "blank", "main ")),
    *(case for tag in ("Codec", "SAR") for case in each(
        "V20", tag, within("BypassIfMatch", video), ("good", "eq", "eq"),
        ("good", "capitals", "EQ"),
        ("error", "lte", "lte"), ("error", "empty", ""), prefix=f"match-{tag}")),
    *(case for tag in ("Width", "Height", "Framerate") for case in each(
        "V20", tag, within("BypassIfMatch", video), ("good", "eq", "eq"), ("good", "lte", "lte"),
        ("good", "gte", "GTE"), ("error", "gt", "gt"), ("error", "empty", ""),
        prefix=f"match-{tag}")),
    *(case for tag in ("Samplerate", "Channel") for case in each(
        "V20", tag, within("BypassIfMatch", audio), ("good", "lte", "Lte"),
        ("error", "less", "less"),
        prefix=f"match-{tag}")),
    *each("V20", "Channel", within("BypassIfMatch", audio), ("error", "number", "2"),
          prefix="match-audio-channel"),
    *each("V20", "Bitrate", within("BypassIfMatch", video), ("error", "eq", "eq"),
          ("error", "lte", "lte"), ("error", "empty", ""), prefix="match-bitrate"),
    *good("V20", match_nothing=video("<BypassIfMatch/>")),
)  # fmt: skip

V21_AND_V22 = (
    *good("V21", both=refers("<Video>v</Video><Audio>a</Audio>"), neither=refers(""),
          numbered=in_profile("<Encodes><Audio><Bypass>true</Bypass></Audio></Encodes>"
                              + playlist(rendition(inside="<Audio>audio_0</Audio>"))),
          numbered_from_the_unnamed=in_profile(
              f"<Encodes><Video>{VIDEO}</Video><Video><Bypass>true</Bypass></Video></Encodes>"
              + playlist(rendition(inside="<Video>video_0</Video>"))),
          encodes_behind=in_profile(playlist(rendition(inside="<Video>v</Video>"))
                                    + f"<Encodes><Video>{VIDEO}</Video></Encodes>"),
          files_of_two_profiles=profiles(profile(playlist("")), profile(playlist(""), "q", "s2")),
          file_by_letter_case=playlists(playlist(""), playlist("", file="File")),
          same_name_other_file=playlists(playlist(""), playlist("", file="other"))),
    Case("V21", "number-of-an-empty-name", in_profile(
        "<Encodes><Video><Name/><Bypass>true</Bypass></Video></Encodes>"
        + playlist(rendition(inside="<Video>video_0</Video>")))),
    Case("V21", "name-from-a-macro", refers("<Video>${env:WHICH}</Video>"), env={"WHICH": "v"}),
    Case("V21", "unknown-name-from-a-macro", refers("<Video>${env:WHICH}</Video>"), "error",
         "${env:WHICH}", env={"WHICH": "w"}),
    Case("V21", "name-cut-by-a-comment", refers("<Video>v<!-- -->2</Video>"), "warning", "v<!--"),
    Case("V21", "two-files-made-equal", playlists(playlist(""), playlist("", file="${env:F}")),
         "error", "${env:F}", env={"F": "file"}),
    Case("V21", "file-twice", playlists(playlist(""), playlist("<!-- 2 -->", "second").replace(
        "</FileName>", "</FileName >")), "error", "file</FileName >"),
    Case("V21", "no-such-video", refers("<Video>w</Video>"), "error", "w</Video"),
    Case("V21", "no-such-audio", refers("<Audio>b</Audio>"), "error", "b</Audio"),
    Case("V21", "audio-where-video-is-meant", refers("<Video>a</Video>"), "error", "a</Video"),
    Case("V21", "by-letter-case", refers("<Video>V</Video>"), "error", "V</Video"),
    Case("V21", "with-a-blank", refers("<Video>v </Video>"), "error", "v </Video"),
    Case("V21", "empty-video", refers("<Video/>"), "error", "<Video/>"),
    Case("V21", "image", in_profile("<Encodes><Image><Name>i</Name><Codec>png</Codec></Image>"
         "</Encodes>" + playlist(rendition(inside="<Video>i</Video>"))), "error", "i</Video"),
    Case("V21", "video-of-another-profile", profiles(
        profile(f"<Encodes><Video>{VIDEO}</Video></Encodes>"),
        profile(playlist(rendition(inside="<Video>v</Video>")), "q", "s2")), "error",
        "v</Video></R"),
    Case("V21", "number-of-a-named-one", refers("<Video>video_0</Video>"), "error",
         "video_0</Video"),
    Case("V21", "number-too-high", in_profile(
        "<Encodes><Audio><Bypass>true</Bypass></Audio></Encodes>"
        + playlist(rendition(inside="<Audio>audio_1</Audio>"))), "error", "audio_1</Audio"),
    *good("V22", two=playlists(playlist(rendition() + rendition("r2"))),
          in_two_playlists=playlists(playlist(rendition()), playlist(rendition(), "l2", "f2")),
          rendition_by_letter_case=playlists(playlist(rendition() + rendition("R")))),
    Case("V22", "rendition-twice", playlists(playlist(
        rendition(inside="<Video>v</Video>") + rendition(inside="<Audio>a</Audio>"))), "error",
        "r</Name><Audio"),
)  # fmt: skip

V23_TO_V26 = (
    *(case for kind, build in (("video", OF_VIDEO), ("audio", OF_AUDIO)) for case in each(
        "V23", "EncodingType", build, ("good", "all", "all"), ("good", "encoded", "encoded"),
        ("good", "bypassed", "bypassed"), ("error", "capitals", "ALL"), ("error", "empty", ""),
        ("error", "other", "encode"), prefix=f"{kind}-template")),
    *good("V24", same_name_of_templates=playlists(playlist(template("") + template(""))),
          neither_template=playlists(playlist(template(""))),
          variant_of_nothing=OF_VIDEO("<VariantName>nothing</VariantName>"),
          registered_names=OF_VIDEO("<MaxFramerate>60</MaxFramerate><MinFramerate>1</MinFramerate>")),
    *(Case("V24", f"{tag}-in-{kind}", build(f"<{tag}>1</{tag}>"), "error", f"<{tag}>1")
      for kind, build, tag in (
        ("video", OF_VIDEO, "MaxFPS"), ("video", OF_VIDEO, "MinFPS"),
        ("video", OF_VIDEO, "VideoIndexHint"), ("audio", OF_AUDIO, "AudioIndexHint"))),
    *good("V25", a_video=tracks("t"), an_audio=tracks("t", inside="<Audio><Name>a</Name></Audio>"),
          two_sets=tracks("t", "u"), set_by_letter_case=tracks("t", "T"),
          in_two_profiles=profiles(*(profile(
              f"<Encodes><Video>{VIDEO}</Video></Encodes><TrackSet><Name>t</Name><Video><Name>v"
              "</Name></Video></TrackSet>", name, name) for name in "pq"))),
    Case("V25", "set-twice", tracks("t", "<!-- 2 -->t"), "error", "t</Name>"),
    Case("V25", "set-of-nothing", tracks("t", inside=""), "error", "<TrackSet>"),
    Case("V25", "set-of-an-ignored-one",
         tracks("t", inside='<Video ignore="true"><Name>v</Name></Video>'), "error", "<TrackSet>"),
    *good("V26", two_profiles=profiles(profile(), profile(name="q", stream="s2")),
          same_in_two_applications=apps(*(app(
              f"<OutputProfiles>{profile()}</OutputProfiles>", name) for name in ("a", "b")))),
    Case("V26", "same-name-of-profiles", profiles(profile(stream="first"),
                                                  profile(stream="second")), "error",
         "p</Name><OutputStreamName>second"),
)  # fmt: skip

CASES = (*V10_AND_V11, *V12_AND_V13, *V14_TO_V20, *V21_AND_V22, *V23_TO_V26)
