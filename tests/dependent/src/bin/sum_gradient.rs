//! The least program that calls `sum_gradient` on `f32`.

fn main() {
    let z = vec![0.0_f32; std::env::args().len()];
    let (t, mut gradient) = (z.clone(), z.clone());
    let sum = soft_bce::Bce::new().sum_gradient(&z, &t, &mut gradient);
    std::process::exit(i32::from(sum.is_err()));
}
