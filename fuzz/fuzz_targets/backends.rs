//! Any bits as logits, targets and weights: every backend gives the outcome and the bits of
//! `Scalar`, errors come exactly where the contract says, with outputs poisoned.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use soft_bce::{Backend, Bce, Error};

#[derive(Arbitrary, Debug)]
struct Input {
    elements: Vec<(Logit, Target, u32)>,
    offset: u8,
    weighted: bool,
    pos_weight: Option<u8>,
    smoothing: Option<u8>,
}

/// Half of the logits lie where results are neither 0 nor 1.
#[derive(Arbitrary, Debug, Clone, Copy)]
enum Logit {
    Bits(u32),
    Ordinary(i16),
}

/// Most targets are valid, so that most inputs get past the check.
#[derive(Arbitrary, Debug, Clone, Copy)]
enum Target {
    Unit(u16),
    Bits(u32, u8),
}

fn bits(values: &[f32]) -> Vec<u32> {
    values
        .iter()
        .map(|x| if x.is_nan() { f32::NAN } else { *x }.to_bits())
        .collect()
}

fuzz_target!(|input: Input| {
    let start = usize::from(input.offset % 16).min(input.elements.len());
    let elements = &input.elements[start..];
    let z: Vec<f32> = elements
        .iter()
        .map(|(logit, ..)| match *logit {
            Logit::Bits(bits) => f32::from_bits(bits),
            Logit::Ordinary(steps) => f32::from(steps) / 256.0,
        })
        .collect();
    let t: Vec<f32> = elements
        .iter()
        .map(|(_, target, _)| match *target {
            Target::Unit(steps) => f32::from(steps) / 65535.0,
            Target::Bits(bits, 0) => f32::from_bits(bits),
            Target::Bits(bits, _) => f32::from_bits(bits % 0x3f80_0001),
        })
        .collect();
    let w: Vec<f32> = elements
        .iter()
        .map(|(.., bits)| f32::from_bits(bits % 0x7f80_0002))
        .collect();

    let mut bce = Bce::new();
    if input.weighted {
        bce = bce.weights(&w);
    }
    if let Some(p) = input.pos_weight {
        bce = bce.pos_weight(f32::from(p) / 16.0 + 0.01);
    }
    if let Some(alpha) = input.smoothing {
        bce = bce.label_smoothing(f32::from(alpha) / 255.0);
    }

    let bad = (0..z.len()).find_map(|index| {
        if !(0.0..=1.0).contains(&t[index]) {
            Some((index, true))
        } else if input.weighted && !(0.0..f32::INFINITY).contains(&w[index]) {
            Some((index, false))
        } else {
            None
        }
    });

    let mut reference = None;
    for backend in Backend::available() {
        let bce = bce.backend(backend).unwrap();
        let (mut loss, mut g, mut h) = (z.clone(), z.clone(), z.clone());
        let written = bce.loss(&z, &t, &mut loss);
        let sum = bce.sum_gradient_hessian(&z, &t, &mut g, &mut h);
        let mut in_place = z.clone();
        let replaced = bce.gradient_in_place(&mut in_place, &t);
        match (bad, sum) {
            (None, Ok(sum)) => {
                assert!(written.is_ok() && replaced.is_ok());
                assert_eq!(bits(&g), bits(&in_place));
                let all = (sum.to_bits(), sum.is_nan(), bits(&loss), bits(&g), bits(&h));
                let reference = reference.get_or_insert_with(|| all.clone());
                assert!(sum.is_nan() == reference.1 && (sum.is_nan() || all.0 == reference.0));
                assert_eq!(
                    (&all.2, &all.3, &all.4),
                    (&reference.2, &reference.3, &reference.4)
                );
            }
            (Some((index, target)), Err(error)) => {
                match error {
                    Error::TargetOutOfRange { index: found, .. } => {
                        assert!(target && found == index)
                    }
                    Error::InvalidWeight { index: found, .. } => assert!(!target && found == index),
                    other => panic!("{other}"),
                }
                assert!(written.is_err() && replaced.is_err());
                assert!(loss.iter().chain(&g).chain(&h).all(|x| x.is_nan()));
                assert_eq!(bits(&in_place), bits(&z));
            }
            (bad, sum) => panic!("{bad:?} but {sum:?}"),
        }
    }
});
