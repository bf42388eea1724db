"""Makes the cases beside it, the same every time. What the authors' scorers say of them stands in golden.json:

sounds, kitchens: C10-epic-sounds-detection and C2-Action-Detection (EPIC-KITCHENS); heard, onsets: mir_eval 0.8.2;
predicted, moments: moment_detr's standalone_eval; sed_*: sed_eval 0.2.1 and psds_eval 0.5.3.
"""

import json
import random
from pathlib import Path

HERE = Path(__file__).parent


def stamp(seconds):
    whole = int(seconds)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{seconds % 60:06.3f}"


def detections(labels, wrong, right):
    """Labelled spans, and detections near them; `right`: how often the class is."""
    rows, results = [], {}
    for video, count, gap in labels["videos"]:
        at, found = 0, []
        for _ in range(count):
            at += random.uniform(0.5, gap)
            length = random.uniform(0.4, 6)
            label = labels["draw"]()
            rows.append((video, at, at + length, label))
            for _ in range(random.choice([1, 1, 2])):
                said = label if random.random() < right else wrong()
                start = max(0, at + random.gauss(0, 0.25 * length))
                stop = start + length * random.uniform(0.6, 1.4)
                score = round(random.random(), 2)
                found.append((said, score, [round(start, 3), round(stop, 3)]))
            at += length
        results[video] = found
    return rows, results


def sounds():
    videos = [("P01_01", 5, 40), ("P01_02", 5, 40), ("P02_01", 5, 40)]
    draw = {"videos": videos, "draw": lambda: random.choice([0, 3, 7])}
    rows, results = detections(draw, lambda: random.choice([0, 3, 7, 9]), 0.8)
    lines = ["annotation_id,participant_id,video_id,start_timestamp,stop_timestamp,start_sample,stop_sample,description,class,class_id"]
    for i, (video, start, stop, label) in enumerate(rows):
        lines.append(f"{video}_{i},{video[:3]},{video},{stamp(start)},{stamp(stop)},0,0,x,{'abcdefgh'[label]},{label}")
    lines.append("P01_01_9,P01,P01_01,00:05:00.000,00:06:00.000,0,0,x,background,13")
    (HERE / "sounds.csv").write_text("\n".join(lines) + "\n")
    entry = lambda said, score, segment: {"interaction": said, "score": score, "segment": segment}
    found = {video: [entry(*one) for one in all] for video, all in results.items()}
    found["P09_09"] = [entry(3, 0.5, [1, 2])]
    about = {"version": "0.1", "challenge": "audio_based_interaction_detection", "sls_pt": 1, "sls_tl": 1, "sls_td": 1, "t_mod": 0}
    (HERE / "sounds.json").write_text(json.dumps(about | {"results": found}))


def kitchens():
    videos = [("P01_01", 6, 20), ("P02_01", 6, 20)]
    draw = {"videos": videos, "draw": lambda: (random.choice([0, 2]), random.choice([1, 4]))}
    rows, results = detections(draw, lambda: (random.choice([0, 2]), random.choice([1, 4, 5])), 0.6)
    lines = ["narration_id,video_id,start_timestamp,stop_timestamp,verb,verb_class,noun,noun_class"]
    for i, (video, start, stop, (verb, noun)) in enumerate(rows):
        lines.append(f"{video}_{i},{video},{stamp(start)},{stamp(stop)},x,{verb},y,{noun}")
    (HERE / "kitchens.csv").write_text("\n".join(lines) + "\n")
    entry = lambda said, score, segment: {"verb": said[0], "noun": said[1], "action": f"{said[0]},{said[1]}", "score": score, "segment": segment}
    found = {video: [entry(*one) for one in all] for video, all in results.items()}
    about = {"version": "0.2", "challenge": "action_detection", "sls_pt": 1, "sls_tl": 1, "sls_td": 1}
    (HERE / "kitchens.json").write_text(json.dumps(about | {"results": found}))


def onsets():
    true = sorted(round(random.uniform(0, 20), 3) for _ in range(40))
    heard = [round(max(0, at + random.gauss(0, 0.09)), 3) for at in true if random.random() < 0.8]
    heard = sorted(heard + [round(random.uniform(0, 20), 3) for _ in range(12)])
    for name, times in ("onsets", true), ("heard", heard):
        (HERE / f"{name}.txt").write_text("".join(f"{at}\n" for at in times))


def windows(duration):
    """Windows of a query, apart from each other."""
    found, at = [], 0
    for _ in range(random.choice([1, 1, 2, 3])):
        start = at + 2 * random.randint(0, 8)
        stop = start + 2 * random.choice([2, 4, 5, 8, 15, 20])
        if stop > duration:
            break
        found.append([start, stop])
        at = stop + 2
    return found or [[0, 10]]


def moments():
    labels, predicted = [], []
    for qid in range(12):
        duration = random.choice([150, 126, 90])
        true = windows(duration)
        clips = [clip for start, stop in true for clip in range(start // 2, stop // 2)]
        saliency = [[random.randint(0, 4) for _ in range(3)] for _ in clips]
        about = {"qid": qid, "query": "x", "vid": f"v{qid}"}
        labels.append(about | {"duration": duration, "relevant_clip_ids": clips, "saliency_scores": saliency, "relevant_windows": true})
        found = [[0, duration, 0.3]]
        for start, stop in true * 4:
            near = [max(0, start + random.choice([-2, 0, 0, 2, 4])), min(duration, stop + random.choice([-2, 0, 0, 2, 6]))]
            if near[0] < near[1]:
                found.append([*near, round(random.random(), 2)])
        random.shuffle(found)
        count = duration // 2 + random.choice([0, 0, -1, 1])
        scores = [round((clip in clips) + random.gauss(0, 0.8), 1) for clip in range(count)]
        predicted.append(about | {"pred_relevant_windows": found, "pred_saliency_scores": scores})
    for name, lines in ("moments", labels), ("predicted", predicted):
        (HERE / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def sed():
    """Ten files of ten seconds; two sets of detections, the second more daring."""
    classes = ["alarm", "blender", "dog", "speech"]
    files = [f"f{i:02d}.wav" for i in range(10)]
    header = "filename\tonset\toffset\tevent_label"
    true, op = [header], [[header], [header], [header]]
    for file in files:
        busy = {label: -1.0 for label in classes}
        taken = [dict(busy) for _ in op]
        count = 0
        for _ in range(random.choice([0, 1, 2, 3, 4])):
            label = random.choice(classes)
            start = max(busy[label] + 0.1, random.uniform(0, 8))
            stop = min(10, start + random.choice([0.3, 1, 2.5, 4]))
            if stop - start < 0.2:
                continue
            busy[label] = stop
            true.append(f"{file}\t{start:.3f}\t{stop:.3f}\t{label}")
            count += 1
            for i, (rows, last) in enumerate(zip(op, taken)):
                if random.random() < 0.5 + 0.2 * i:
                    said = label if random.random() < 0.8 else random.choice(classes)
                    near = max(last[said] + 0.01, start + random.gauss(0, 0.15), 0)
                    end = near + (stop - start) * random.uniform(0.7, 1.2)
                    last[said] = end
                    rows.append(f"{file}\t{near:.3f}\t{end:.3f}\t{said}")
        if count == 0:
            true.append(f"{file}\t\t\t")
        for i, (rows, last) in enumerate(zip(op, taken)):
            for _ in range(i + 1):
                said = random.choice(classes)
                near = max(last[said] + 0.01, random.uniform(0, 9))
                end = near + random.uniform(0.2, 1.5)
                if random.random() < 0.4 and near < 10:
                    last[said] = end
                    rows.append(f"{file}\t{near:.3f}\t{end:.3f}\t{said}")
    (HERE / "sed_true.tsv").write_text("\n".join(true) + "\n")
    for i, rows in enumerate(op):
        (HERE / f"sed_{i}.tsv").write_text("\n".join(rows) + "\n")
    (HERE / "sed_durations.tsv").write_text("filename\tduration\n" + "".join(f"{file}\t10\n" for file in files))


for seed, make in enumerate([sounds, kitchens, onsets, moments, sed]):
    random.seed(seed)
    make()
