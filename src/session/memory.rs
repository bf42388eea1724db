//! Tunes how much freed memory the C library keeps.

use std::sync::Once;

/// For frames with more pixels than this, freed memory is returned at once.
const LARGE: u64 = 2560 * 1440;

/// By default, glibc gives threads arenas of their own, up to eight per core, and each keeps its freed memory. With a single arena a run needs
/// a sixth less memory, and the hot code seldom allocates. Threads keep their arena, so this must come before the first pipeline.
pub(super) fn share() {
    static ONCE: Once = Once::new();
    ONCE.call_once(one_arena);
}

/// For processes that run for weeks: one arena, and every block of 128 KiB or more goes back to the system when it is freed. Otherwise glibc
/// raises that limit with every large block that it sees, and frames and batches of long ago stay in memory. Call it before the first thread.
pub(crate) fn stay_small() {
    share();
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for name in [libc::M_MMAP_THRESHOLD, libc::M_TRIM_THRESHOLD] {
        set(name, 128 << 10);
    }
}

/// By default, glibc keeps freed blocks of up to 32 MiB, so the 12 MB of a frame of 3840 x 2160 pixels are never returned. Returning them
/// costs little compared with decoding such a frame. The same holds for the encoder's memory.
pub(super) fn prepare(pixels: u64) {
    gstearmark::onnx::spare_memory(pixels > LARGE);
    if pixels > LARGE {
        give_back();
    }
}

fn give_back() {
    // Blocks of 1 MiB and more.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    set(libc::M_MMAP_THRESHOLD, 1 << 20);
}

fn one_arena() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    set(libc::M_ARENA_MAX, 1);
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(
    unsafe_code,
    reason = "these settings of the C library have no safe wrapper; it takes two numbers and touches no memory"
)]
fn set(name: libc::c_int, value: libc::c_int) {
    // Returns 0 for an unknown setting, which changes nothing.
    unsafe { libc::mallopt(name, value) };
}
