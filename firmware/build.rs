//! The linker script of cortex-m-rt, which reads this package's memory.x.

fn main() {
    println!("cargo:rerun-if-changed=memory.x");
    let of = |name| std::env::var(name).unwrap_or_default();
    if of("CARGO_CFG_TARGET_ARCH") == "arm" && of("CARGO_CFG_TARGET_OS") == "none" {
        println!("cargo:rustc-link-search={}", of("CARGO_MANIFEST_DIR"));
        println!("cargo:rustc-link-arg-bins=-Tlink.x");
    }
    if of("CARGO_CFG_TARGET_ARCH") == "wasm32" {
        println!("cargo:rustc-link-arg-bins=--export=run");
    }
}
