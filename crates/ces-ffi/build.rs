//! Gives the shared library the name that programs look for at run time.

/// Grows with every change after which programs have to be compiled anew.
const ABI: u32 = 0;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let system = std::env::var_os("CARGO_CFG_TARGET_OS").unwrap_or_default();
    let argument = match system.to_str() {
        Some("linux" | "android" | "freebsd" | "netbsd" | "openbsd") => {
            format!("-Wl,-soname,libpropeller_ces.so.{ABI}")
        }
        Some("macos") => format!("-Wl,-install_name,@rpath/libpropeller_ces.{ABI}.dylib"),
        _ => return,
    };
    println!("cargo::rustc-cdylib-link-arg={argument}");
}
