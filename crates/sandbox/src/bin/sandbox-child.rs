//! A program that is nothing but a zygote: for tests, whose own programs have a `main` that they
//! did not write.

fn main() {
    #[cfg(target_os = "linux")]
    propeller_sandbox::process::enter_if_child();
}
