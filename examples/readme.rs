use soft_bce::{Bce, Error, LossSum};

fn main() -> Result<(), Error> {
    let (logits, targets) = ([2.0_f32, -1.0, 0.0], [0.9_f32, 0.25, 0.5]);
    let (mut gradient, mut hessian) = ([0.0; 3], [0.0; 3]);

    // Options chain: Bce::new().weights(&w).pos_weight(3.0).label_smoothing(0.1).excess()
    let bce = Bce::new();
    let loss = bce.sum_gradient_hessian(&logits, &targets, &mut gradient, &mut hessian)?;
    println!("{loss} {gradient:?} {hessian:?}");

    // Parts, threads, machines: the same bits in whatever order they come.
    let (mut left, mut right) = (LossSum::new(), LossSum::new());
    bce.accumulate(&logits[..1], &targets[..1], &mut left)?;
    bce.accumulate(&logits[1..], &targets[1..], &mut right)?;
    right.merge(&left);
    assert_eq!(right.to_f64(), loss);

    // A target outside [0, 1] is an error that says where.
    let wrong = bce.sum(&logits, &[0.9, 1.5, 0.5]).unwrap_err();
    assert_eq!(wrong.to_string(), "target 1.5 at index 1 is not in [0, 1]");
    Ok(())
}
