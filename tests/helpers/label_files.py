"""Label files of other tools, as their manuals describe them; all have the same two events of one recording, a.wav."""

from __future__ import annotations

from pathlib import Path

from sed.data.tables import Event

DOG, CAT = Event(0.5, 1.25, "Dog"), Event(2.0, 2.5, "Cat meow")
TEXTGRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 10
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "events"
        xmin = 0
        xmax = 10
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.5
            text = ""
        intervals [2]:
            xmin = 0.5
            xmax = 1.25
            text = "Dog"
        intervals [3]:
            xmin = 1.25
            xmax = 10
            text = ""
    item [2]:
        class = "IntervalTier"
        name = "more"
        xmin = 0
        xmax = 10
        intervals: size = 1
        intervals [1]:
            xmin = 2
            xmax = 2.5
            text = "Cat meow"
"""
SHORT_TEXTGRID = """"ooTextFile short"
"TextGrid"

0
10
<exists>
1
"IntervalTier"
"events"
0
10
4
0
0.5
""
0.5
1.25
"Dog"
1.25
2
""
2
2.5
"Cat meow"
"""
ELAN = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2026-05-01T10:00:00+02:00" FORMAT="3.0" VERSION="3.0">
  <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
    <MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/Users/me/a.wav" MIME_TYPE="audio/x-wav" RELATIVE_MEDIA_URL="./a.wav"/>
  </HEADER>
  <TIME_ORDER>
    <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="500"/><TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="1250"/>
    <TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="2000"/><TIME_SLOT TIME_SLOT_ID="ts4" TIME_VALUE="2500"/>
  </TIME_ORDER>
  <TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="default">
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
      <ANNOTATION_VALUE>Dog</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts3" TIME_SLOT_REF2="ts4">
      <ANNOTATION_VALUE>Cat meow</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
  </TIER>
</ANNOTATION_DOCUMENT>
"""
RAVEN = (
    "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tBegin File\t"
    "File Offset (s)\tSpecies\n"
    "1\tWaveform 1\t1\t60.500\t61.250\t0\t8000\ta.wav\t0.500\tDog\n"
    "1\tSpectrogram 1\t1\t60.500\t61.250\t0\t8000\ta.wav\t0.500\tDog\n"
    "2\tSpectrogram 1\t1\t62.000\t62.500\t100\t4000\ta.wav\t2.000\tCat meow\n"
)
LABEL_STUDIO = """[{"id": 1, "data": {"audio": "/data/upload/3/0a1b2c3d-a.wav"}, "annotations": [
 {"id": 7, "was_cancelled": true, "result": [{"value": {"start": 0, "end": 9, "labels": ["Dog"]}}]},
 {"id": 8, "was_cancelled": false, "result": [
  {"type": "labels", "value": {"start": 0.5, "end": 1.25, "channel": 0, "labels": ["Dog"]}},
  {"type": "labels", "value": {"start": 2, "end": 2.5, "channel": 0, "labels": ["Cat meow"]}}]},
 {"id": 9, "result": []}]}]"""
LABEL_STUDIO_MIN = """[{"audio": "/data/local-files/?d=site/a.wav", "id": 1, "annotator": 1, "label": [
 {"start": 0.5, "end": 1.25, "channel": 0, "labels": ["Dog"]}, {"start": 2, "end": 2.5, "labels": ["Cat meow"]}]}]"""
JAMS = """{"annotations": [{"namespace": "scaper", "sandbox": {}, "data": [
 {"time": 0.0, "duration": 10.0, "value": {"label": "noise", "role": "background"}, "confidence": 1.0},
 {"time": 0.5, "duration": 0.75, "value": {"label": "Dog", "role": "foreground", "event_duration": 0.9}},
 {"time": 2.0, "duration": 0.5, "value": {"label": "Cat meow", "role": "foreground"}}], "duration": 10.0}],
 "file_metadata": {"duration": 10.0, "jams_version": "0.2.2"}, "sandbox": {}}"""
# {format: (file name, content)}
FILES = {
    "audacity": ("a.txt", "0.500000\t1.250000\tDog\n\\\t100.0\t2000.0\n2.000000\t2.500000\tCat meow\n"),
    "audacity with decimal commas": ("a.wav.txt", "0,500000\t1,250000\tDog\r\n2,000000\t2,500000\tCat meow\r\n"),
    "baseline": (
        "predictions0.5.csv",
        ",event_label,onset,offset,filename\n0,Dog,0.5,1.25,a.wav\n1,Cat meow,2.0,2.5,a.wav\n",
    ),
    "spreadsheet": ("labels.csv", "File;Start;End;Label\r\na.wav;0,5;1,25;Dog\r\na.wav;2;2,5;Cat meow\r\n"),
    "durations": ("labels.csv", 'file,start,duration,class\na.wav,0.5,0.75,Dog\n"a.wav",2,0.5,"Cat meow"\n'),
    "tabs": (
        "labels.tsv",
        "audio\tbegin\tend\tspecies\tconfidence\na.wav\t0.5\t1.25\tDog\t0.9\na.wav\t2\t2.5\tCat meow\t1\n",
    ),
    "raven": ("listing.Table.1.selections.txt", RAVEN),
    "textgrid": ("a.TextGrid", TEXTGRID),
    "short textgrid": ("a.TextGrid", SHORT_TEXTGRID),
    "elan": ("a.eaf", ELAN),
    "jams": ("a.jams", JAMS),
    "dcase": (
        "a.ann",
        "audio/street/a.wav\tstreet\t0.5\t1.25\tDog\tm\r\naudio/street/a.wav\tstreet\t2\t2.5\tCat meow\tm\r\n",
    ),
    "srt": (
        "a.srt",
        "1\r\n00:00:00,500 --> 00:00:01,250\r\nDog\r\n\r\n"
        "2\r\n00:00:02,000 --> 00:00:02,500\r\nCat\r\nmeow\r\n",
    ),
    "vtt": (
        "a.vtt",
        "WEBVTT\n\nNOTE two\nevents\n\n00:00.500 --> 00:01.250 align:left\nDog\n\nx\n"
        "00:00:02.000 --> 00:00:02.500\nCat meow\n",
    ),
    "labelstudio": ("export.json", LABEL_STUDIO),
    "labelstudio min": ("export.json", LABEL_STUDIO_MIN),
    "jsonl": (
        "e.jsonl",
        '{"filename": "a.wav", "onset": 0.5, "offset": 1.25, "label": "Dog", "score": 0.9}\n'
        '{"filename": "a.wav", "onset": 2, "offset": 2.5, "label": "Cat meow"}\n',
    ),
    "desed": ("e.tsv", "filename\tonset\toffset\tevent_label\na.wav\t0.5\t1.25\tDog\na.wav\t2\t2.5\tCat meow\n"),
}  # fmt: skip


def write(folder: Path, name: str, text: str) -> Path:
    """Write a label file as it is, line ends included."""
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path
