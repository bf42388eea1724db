"""Makes tiny sets of random features in the layouts of LLP, AVE and UnAV-100: parsing_set.py DIR [VIDEOS].

With VIDEOS, LLP, AVE and UnAV-100 have so many for training, and those of UnAV-100 last a minute each: for what a step costs.
"""

import json
import pathlib
import sys

import h5py
import numpy as np

CLASSES = "Speech Car Cheering Dog Cat Frying_(food) Basketball_bounce Fire_alarm Chainsaw Cello Banjo Singing Chicken_rooster Violin_fiddle".split()
CLASSES += "Vacuum_cleaner Baby_laughter Accordion Lawn_mower Motorcycle Helicopter Acoustic_guitar Telephone_bell_ringing Baby_cry_infant_cry".split()
CLASSES += ["Blender", "Clapping"]

out = pathlib.Path(sys.argv[1])
many = int(sys.argv[2]) if len(sys.argv) > 2 else None
rng = np.random.default_rng(1)


def numbers(*shape):
    return rng.standard_normal(shape).astype("f4")


def save(folder, name, array):
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{name}.npy", array)


def words(folder, count):
    save(folder, "label_CLAP", numbers(count, 512))
    save(folder, "label_CLIP", numbers(count, 768))


# LLP: file names are a YouTube id, the beginning and the end; features are named by the id in one of the streams.
llp = out / "llp"
splits = {"AVVP_train.csv": many or 8, "AVVP_val_pd.csv": 3, "AVVP_test_pd.csv": 3}
audio, visual = [], []
number = 0
for file, count in splits.items():
    rows = ["filename\tevent_labels"]
    for _ in range(count):
        number += 1
        identity = f"video-{number:05d}"
        name = f"{identity}_{number}_{number + 10}"
        heard, seen = number % 5, number % 3
        rows.append(f"{name}\t{CLASSES[heard]},{CLASSES[seen]}" if heard != seen else f"{name}\t{CLASSES[heard]}")
        if "train" not in file:
            audio.append(f"{name}\t1\t6\t{CLASSES[heard]}")
            visual.append(f"{name}\t3\t10\t{CLASSES[seen]}")
        save(llp / "feats/vggish", name, numbers(10, 128))
        save(llp / "feats/res152", name, numbers(80, 2048))
        save(llp / "feats/r2plus1d_18", name, numbers(10, 512))
        save(llp / "feats_CLAP", identity, numbers(10, 512))
        save(llp / "feats_CLIP", identity, numbers(10, 768).astype("f2"))
    (llp / file).write_text("\n".join(rows) + "\n")
for file, rows in (("audio", audio), ("visual", visual)):
    (llp / f"AVVP_eval_{file}.csv").write_text("\n".join(["filename\tonset\toffset\tevent_labels", *rows]) + "\n")
words(llp, 25)

# AVE: an annotation a line, features as folders and as the authors' HDF5 files, with a row for each annotation.
ave = out / "ave"
ave.mkdir(parents=True)
count = 12 + (many or 0)
rows = [f"class{i % 3}&ave-{i:07d}&good&{i % 4}&{i % 4 + 5}" for i in range(count)]
(ave / "Annotations.txt").write_text("\n".join(["Category&VideoID&Quality&StartTime&EndTime", *rows]) + "\n")
for name, order in (("train", [0, 2, 4, 5, 6, 7] if many is None else list(range(12, count))), ("val", [1, 8, 9]), ("test", [10, 3])):
    with h5py.File(ave / f"{name}_order.h5", "w") as file:
        file["order"] = np.array(order, "i8")
with h5py.File(ave / "audio_feature.h5", "w") as file:
    file["avadataset"] = numbers(count, 10, 128)
with h5py.File(ave / "visual_feature.h5", "w") as file:
    file["avadataset"] = numbers(count, 10, 7, 7, 32)
for i in range(count):
    save(ave / "feats_CLAP", f"ave-{i:07d}", numbers(10, 512))
    save(ave / "feats_CLIP", f"ave-{i:07d}", numbers(10, 768))
    save(ave / "feats/r2plus1d_18", f"ave-{i:07d}", numbers(10, 512))
words(ave, 3)

# UnAV-100: videos of different length; two of the classes that it would have.
unav = out / "unav"
database = {}
for i in range(8 if many is None else many + 2):
    length = 4 + 3 * i if many is None else 60
    label = i % 2
    database[f"unav{i}"] = {
        "duration": length,
        "subset": "validation" if i > (many or 6) - 1 else "train",
        "annotations": [{"segment": [0.4, length - 1.0], "label": f"sound {label}", "label_id": label}],
    }
    save(unav / "feats_CLAP", f"unav{i}", numbers(length, 512))
    save(unav / "feats_CLIP", f"unav{i}", numbers(length + 1, 768))
(unav / "unav100_annotations.json").write_text(json.dumps({"version": "1", "database": database}))
words(unav, 2)
