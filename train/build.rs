//! Lets the trainer find libtorch at run time without `LD_LIBRARY_PATH`.

fn main() {
    // Set by torch-sys for its direct dependents.
    if let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
    }
    println!("cargo:rerun-if-env-changed=LIBTORCH");
}
