//! The least program: its size less than that of `sum_gradient` is what a call costs.

fn main() {
    std::process::exit(std::env::args().len() as i32 - 1);
}
