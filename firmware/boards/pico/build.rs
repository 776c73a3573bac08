//! Has the linker find memory.x.

fn main() -> Result<(), std::env::VarError> {
    println!("cargo:rustc-link-search={}", std::env::var("CARGO_MANIFEST_DIR")?);
    println!("cargo:rerun-if-changed=memory.x");
    Ok(())
}
