//! Gives the shared library its soname: the part of the version that breaks compatibility.

fn main() {
    let part = |name: &str| std::env::var(name).unwrap_or_default();
    if part("CARGO_CFG_TARGET_OS") == "linux" {
        let [major, minor] =
            ["MAJOR", "MINOR"].map(|name| part(&format!("CARGO_PKG_VERSION_{name}")));
        let version = if major == "0" {
            format!("0.{minor}")
        } else {
            major
        };
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libsoft_bce.so.{version}");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
