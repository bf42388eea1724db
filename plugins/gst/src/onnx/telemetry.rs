//! Turns ONNX Runtime's telemetry off. Despite the switch in its C API, version 1.31 starts a client that writes files and sends them, unless
//! this variable is set before the library is loaded.

const NAME: &str = "ORT_DISABLE_TELEMETRY";

/// Sets `ORT_DISABLE_TELEMETRY=1` in the process's environment. Call it before ONNX Runtime is loaded; other threads may run.
pub fn forbid() {
    if std::env::var_os(NAME).is_none_or(|value| value != "1") {
        put();
    }
}

/// `setenv` may free the list of variables while another thread walks it in `getenv`, and GStreamer loads plugins at any time. So this
/// swaps in a longer list and never frees the old one.
#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "no crate wraps the list of variables, and std's set_var may free it"
)]
fn put() {
    use std::ffi::{CStr, c_char};
    use std::sync::atomic::{AtomicPtr, Ordering};

    const ENTRY: &CStr = c"ORT_DISABLE_TELEMETRY=1";
    unsafe extern "C" {
        static mut environ: *mut *const c_char;
    }
    // SAFETY: the C library's pointer to its list lives as long as the process.
    let list = unsafe { AtomicPtr::from_ptr(&raw mut environ) };
    loop {
        let old = list.load(Ordering::Acquire);
        let mut entries = Vec::new();
        let mut at = old;
        // SAFETY: the list is null or ends with a null pointer; its entries are C strings.
        while let Some(&entry) = unsafe { at.as_ref() }.filter(|entry| !entry.is_null()) {
            let text = unsafe { CStr::from_ptr(entry) }.to_bytes();
            let is_old = text
                .strip_prefix(NAME.as_bytes())
                .is_some_and(|rest| rest.first() == Some(&b'='));
            if !is_old {
                entries.push(entry);
            }
            at = at.wrapping_add(1);
        }
        entries.extend([ENTRY.as_ptr(), std::ptr::null()]);
        // Never freed: a reader of the environment may hold it.
        let new = Box::leak(entries.into_boxed_slice()).as_mut_ptr();
        if list
            .compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
        {
            return;
        }
    }
}

#[cfg(not(target_os = "linux"))]
#[expect(
    unsafe_code,
    reason = "nothing wraps it; no other thread may touch the environment now"
)]
fn put() {
    // SAFETY: called when the program or the plugin starts, before there are threads of ours.
    unsafe { std::env::set_var(NAME, "1") };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_set_and_the_others_stay() {
        let others = |(name, _): &(std::ffi::OsString, std::ffi::OsString)| name != NAME;
        let before: Vec<_> = std::env::vars_os().filter(others).collect();
        forbid();
        forbid();
        assert_eq!(std::env::var(NAME).as_deref(), Ok("1"));
        let set = std::env::vars_os().filter(|(name, _)| name == NAME);
        assert_eq!(set.count(), 1);
        assert_eq!(
            std::env::vars_os().filter(others).collect::<Vec<_>>(),
            before
        );
    }
}
