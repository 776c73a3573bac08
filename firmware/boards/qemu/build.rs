//! Puts memory.x where the linker looks for it, and prints what the network needs.

use std::{env, fs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rustc-link-search={}", env::var("CARGO_MANIFEST_DIR")?);
    println!("cargo:rerun-if-changed=memory.x");
    println!("cargo:rerun-if-env-changed=ANCHORWATCH_NETWORK");
    if let Some(path) = env::var_os("ANCHORWATCH_NETWORK") {
        println!("cargo:rerun-if-changed={}", path.display());
        let network = fs::read(&path)?;
        let number =
            |at| network.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |four| u32::from_le_bytes(*four));
        let (arena, picture) = (number(8), number(12));
        let flash = network.len();
        println!(
            "cargo:warning=network: {flash} bytes of flash, an arena of {arena} bytes, pictures of {picture}"
        );
    }
    Ok(())
}
