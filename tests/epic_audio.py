#!/usr/bin/env python3
"""Makes files of sound as EPIC-KITCHENS' `EPIC_audio.hdf5` is made: a dataset of float32 samples, 24 kHz, for every recording.

    epic_audio.py FOLDER

FOLDER/EPIC_audio.hdf5 has P01_01, P02_03 (whose length is not a whole number of blocks or hops) and P03_04; beside it lie WAV files of the
same samples. FOLDER/odd/NAME.hdf5 each hold something wrong: int16, stereo, empty, group, nothing; `damaged` has a sound that can't be
read to its end; `nan` has one sample in 1000 that is not a number, with a WAV file in which they are 0. Needs numpy, h5py and soundfile.
"""
import pathlib, sys
import h5py
import numpy as np
import soundfile

RATE = 24000


def sound(samples, seed):
    """[samples] f32: quiet noise, a click now and then, a tone."""
    rng = np.random.default_rng(seed)
    x = .002 * rng.standard_normal(samples)
    for at in rng.uniform(1, samples / RATE - 1, max(1, samples // RATE // 3)):
        n, a = RATE // 10, int(at * RATE)
        x[a:a + n] += .5 * rng.standard_normal(n) * np.exp(-np.arange(n) / RATE / .02)
    x[samples // 2:samples // 2 + RATE] += .1 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    return x.astype("f4")


def main():
    folder = pathlib.Path(sys.argv[1])
    (folder / "odd").mkdir(parents=True)
    with h5py.File(folder / "EPIC_audio.hdf5", "w") as f:
        for seed, (id, samples) in enumerate({"P01_01": 12 * RATE, "P02_03": 9 * RATE + 7919, "P03_04": 30 * RATE - 1}.items()):
            x = sound(samples, seed)
            f.create_dataset(id, data=x)
            soundfile.write(folder / f"{id}.wav", x, RATE, subtype="FLOAT")

    def odd(name, make):
        with h5py.File(folder / "odd" / f"{name}.hdf5", "w") as f:
            make(f)

    x = sound(6 * RATE, 9)
    odd("int16", lambda f: f.create_dataset("P01", data=(x * 32767).astype("i2")))
    odd("stereo", lambda f: f.create_dataset("P01", data=np.stack([x, x])))
    odd("empty", lambda f: f.create_dataset("P01", data=x[:0]))
    odd("group", lambda f: f.create_group("P01").create_dataset("audio", data=x))
    odd("nothing", lambda f: None)
    # P01 is whole; the second half of P02, packed in chunks, is overwritten.
    noise = np.random.default_rng(3).standard_normal(len(x)).astype("f4") * .1

    def two(f):
        f.create_dataset("P01", data=x)
        f.create_dataset("P02", data=noise, chunks=(4096,), compression="gzip")
        f.flush()
        return f["P02"].id.get_chunk_info(f["P02"].id.get_num_chunks() // 2).byte_offset

    with h5py.File(folder / "odd/damaged.hdf5", "w") as f:
        at = two(f)
    with open(folder / "odd/damaged.hdf5", "r+b") as f:
        f.seek(at)
        f.write(bytes(4096))
    broken = x.copy()
    broken[::1000] = np.nan
    broken[500::3000] = np.inf
    odd("nan", lambda f: f.create_dataset("nan", data=broken))
    soundfile.write(folder / "nan.wav", np.where(np.isfinite(broken), broken, 0), RATE, subtype="FLOAT")


if __name__ == "__main__":
    main()
