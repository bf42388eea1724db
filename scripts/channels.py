#!/usr/bin/env python3
"""Recordings as other microphones, cameras and codecs would have them, to judge weights by channel: channels.py FOLDER OUT [CHANNEL ...]

For every NAME.wav with NAME.labels.csv in FOLDER, writes OUT/CHANNEL/NAME.wav, 16 kHz, and copies the labels. Then, per channel:

    for w in OUT/CHANNEL/*.wav; do earmark plan gated --input $w --output ${w%.wav}.jsonl; done
    earmark eval anchors --plan OUT/CHANNEL/*.jsonl --labels OUT/CHANNEL/*.labels.csv

These are not the channels that `earmark fit --channels` draws, though of the same kinds, so that what was learned is not what is judged. Needs ffmpeg.
"""
import pathlib, shutil, subprocess, sys, tempfile

LOW = "lowpass=f={0}:p=2,lowpass=f={0}:p=2,lowpass=f={0}:p=2"
HUM = "aevalsrc='0.02*sin(2*PI*50*t)+0.01*sin(2*PI*150*t)+0.006*sin(2*PI*250*t)':s=16000[h];[0:a][h]amix=inputs=2:duration=first:normalize=0"
# A filter, and what it is coded with on the way.
CHANNELS = {
    "plain": ("anull", None),
    "band3400": (LOW.format(3400) + ",highpass=f=200", None),
    "band5200": (LOW.format(5200), None),
    "rate8k": ("aresample=8000", ("wav", ["-ar", "8000"])),
    "agc": ("acompressor=threshold=-35dB:ratio=8:attack=5:release=400:makeup=12dB", None),
    "leveller": ("dynaudnorm=f=200:g=11:m=20", None),
    "denoiser": ("afftdn=nr=20:nf=-40", None),
    "gate": ("agate=threshold=0.01:ratio=6:attack=5:release=200", None),
    "equaliser": ("highpass=f=300,equalizer=f=2500:t=q:w=1:g=10", None),
    "echo": ("aecho=0.8:0.7:23|41|67|113:0.5|0.4|0.3|0.2", None),
    "aac24": ("anull", ("m4a", ["-c:a", "aac", "-b:a", "24k"])),
    "opus16": ("anull", ("ogg", ["-c:a", "libopus", "-b:a", "16k", "-application", "voip"])),
    "g711": ("aresample=8000", ("wav", ["-ar", "8000", "-c:a", "pcm_mulaw"])),
    "clipping": ("volume=26dB,alimiter=limit=0.99:attack=0.1:release=1:level=false,volume=-6dB", None),
    "quiet": ("volume=-30dB", None),
    "offset": ("dcshift=shift=0.3", None),
    "hum": (None, None),
}


def ffmpeg(*args):
    subprocess.run(["ffmpeg", "-y", "-v", "error", *map(str, args)], check=True)


def main():
    if len(sys.argv) < 3 or (unknown := [name for name in sys.argv[3:] if name not in CHANNELS]):
        sys.exit(__doc__ if len(sys.argv) < 3 else f"unknown channel {unknown[0]}; there are {', '.join(CHANNELS)}")
    source, out = map(pathlib.Path, sys.argv[1:3])
    for name in sys.argv[3:] or CHANNELS:
        change, coded = CHANNELS[name]
        (out / name).mkdir(parents=True, exist_ok=True)
        for wav in sorted(source.glob("*.wav")):
            target, labels = out / name / wav.name, wav.with_suffix(".labels.csv")
            if not target.exists() and coded:
                with tempfile.NamedTemporaryFile(suffix="." + coded[0]) as way:
                    ffmpeg("-i", wav, "-af", change, *coded[1], way.name)
                    ffmpeg("-i", way.name, "-ar", 16000, target)
            elif not target.exists():
                ffmpeg("-i", wav, *(("-af", change) if change else ("-filter_complex", HUM)), "-ar", 16000, target)
            if labels.exists():
                shutil.copy(labels, out / name / labels.name)


main()
