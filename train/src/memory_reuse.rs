//! Keeps the memory of large tensors in the process. glibc gives blocks of more than 32 MiB back to
//! the system whenever they are freed, and training frees and allocates hundreds of them a step: of
//! the nine-convolution network's time a tenth went into the kernel's zeroing of pages, and another
//! into threads that waited for it (`perf record`, two cores). glibc reads its settings before
//! `main`, so they are set by starting the program once more.

use std::process::Command;

/// glibc's variables (mallopt(3)): blocks up to 4 GiB come from the heap, 8 GiB of which are kept.
const SETTINGS: [(&str, &str); 3] = [
    ("MALLOC_MMAP_THRESHOLD_", "4294967296"),
    ("MALLOC_TRIM_THRESHOLD_", "8589934592"),
    ("MALLOC_TOP_PAD_", "268435456"),
];

/// Starts the program again with the settings, unless the user or this function has set one. Comes
/// back if there is nothing to do, or if it cannot be done: training is only slower then.
pub fn keep_freed_memory() {
    if !cfg!(all(target_os = "linux", target_env = "gnu"))
        || SETTINGS.iter().any(|(name, _)| std::env::var_os(name).is_some())
    {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut again = Command::new(program);
    again.args(std::env::args_os().skip(1)).envs(SETTINGS);
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        let mut arguments = std::env::args_os();
        if let Some(name) = arguments.next() {
            again.arg0(name);
        }
        let error = again.exec();
        log::debug!("cannot start again with malloc's settings: {error}");
    }
}
