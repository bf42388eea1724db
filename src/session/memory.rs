//! What the C library keeps of freed memory.

use std::sync::Once;

/// Recordings of larger pictures than this, in pixels, give memory back at once.
const LARGE: u64 = 2560 * 1440;

/// Left to itself, the C library of most Linux systems gives every thread memory of its own to carve blocks from, eight times as many as there are cores, and
/// each keeps what was freed there: with one for all a run needs a sixth less. What takes long here allocates seldom. Threads that have theirs
/// keep it, so this comes before the first pipeline.
pub(super) fn share() {
    static ONCE: Once = Once::new();
    ONCE.call_once(one_arena);
}

/// Left to itself, the C library of most Linux systems keeps freed blocks of up to 32 MiB, so that a picture of 3840 x 2160 pixels, which takes 12 MB,
/// is never given back. Giving back costs time, which doesn't show beside decoding pictures so large. So it is with what encoding one takes.
pub(super) fn prepare(pixels: u64) {
    gstearmark::onnx::spare_memory(pixels > LARGE);
    if pixels > LARGE {
        give_back();
    }
}

fn give_back() {
    // Blocks of a mebibyte and more.
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
    // It says no where it doesn't know the setting, and then nothing changes.
    unsafe { libc::mallopt(name, value) };
}
