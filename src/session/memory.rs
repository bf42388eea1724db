//! What the C library keeps of freed memory.

/// Recordings of larger pictures than this, in pixels, give memory back at once.
const LARGE: u64 = 2560 * 1440;
/// Blocks of this many bytes and more go back to the system when they are freed.
const BLOCK: i32 = 1 << 20;

/// Left to itself, the C library of most Linux systems keeps freed blocks of up to 32 MiB, so that a picture of 3840 x 2160 pixels, which takes 12 MB,
/// is never given back. Giving back costs time, which only shows with pictures so large.
pub(super) fn prepare(pixels: u64) {
    if pixels > LARGE {
        give_back();
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(
    unsafe_code,
    reason = "this setting of the C library has no safe wrapper; it takes two numbers and touches no memory"
)]
fn give_back() {
    // It says no where it doesn't know the setting, and then nothing changes.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, BLOCK) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back() {}
