//! An online model on soft targets: from four readings of a radio link, the share of 32 packets
//! that arrived. Stochastic gradient descent, no allocation; the data come from integers, so that
//! every machine must print the same text, bits included.
#![cfg_attr(not(unix), no_std, no_main)]

use core::fmt::Write;

use soft_bce::{Bce, Error, scalar};

const FEATURES: usize = 4;
const BATCH: usize = 16;
const BATCHES: u32 = 2000;
const REPORT_EVERY: u32 = 400;
/// What the links really do: the weight of each reading, and the bias.
const TRUTH: [f32; FEATURES + 1] = [1.5, -1.0, 0.5, -0.25, 0.75];

struct Link(u32);

impl Link {
    /// xorshift (Marsaglia, 2003), uniform in [-1, 1).
    fn uniform(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        (self.0 >> 8) as f32 / 8_388_608.0 - 1.0
    }

    /// Readings, and the share of 32 packets that arrived.
    fn observe(&mut self) -> ([f32; FEATURES], f32) {
        let readings = [(); FEATURES].map(|()| self.uniform());
        let chance = scalar::sigmoid(logit(&TRUTH, &readings));
        let arrived = (0..32)
            .filter(|_| (self.uniform() + 1.0) / 2.0 < chance)
            .count();
        (readings, arrived as f32 / 32.0)
    }
}

fn logit(model: &[f32; FEATURES + 1], readings: &[f32; FEATURES]) -> f32 {
    let [weights @ .., bias] = model;
    weights
        .iter()
        .zip(readings)
        .fold(*bias, |sum, (weight, reading)| sum + weight * reading)
}

fn train(out: &mut dyn Write) -> Result<[f32; FEATURES + 1], Error> {
    let (mut link, mut model) = (Link(2_463_534_242), [0.0; FEATURES + 1]);
    let bce = Bce::new();
    for batch in 0..BATCHES {
        let (mut readings, mut z) = ([[0.0; FEATURES]; BATCH], [0.0; BATCH]);
        let (mut t, mut g) = ([0.0; BATCH], [0.0; BATCH]);
        for i in 0..BATCH {
            (readings[i], t[i]) = link.observe();
            z[i] = logit(&model, &readings[i]);
        }
        if batch % REPORT_EVERY == 0 {
            let mean = bce.mean(&z, &t)?;
            let _ = writeln!(out, "batch {batch}: loss {mean:.6} {:016x}", mean.to_bits());
        }
        bce.gradient(&z, &t, &mut g)?;
        let rate = 8.0 / (BATCH as f32 * (1.0 + batch as f32 / 100.0));
        let [weights @ .., bias] = &mut model;
        for (g, readings) in g.iter().zip(&readings) {
            for (weight, reading) in weights.iter_mut().zip(readings) {
                *weight -= rate * g * reading;
            }
            *bias -= rate * g;
        }
    }
    Ok(model)
}

fn run(out: &mut dyn Write) -> bool {
    let model = match train(out) {
        Ok(model) => model,
        Err(error) => {
            let _ = writeln!(out, "{error}");
            return false;
        }
    };
    let mut close = true;
    for (found, truth) in model.iter().zip(&TRUTH) {
        let _ = writeln!(
            out,
            "coefficient {found:.4} {:08x}, truth {truth}",
            found.to_bits()
        );
        close &= (found - truth).abs() < 0.1;
    }
    close
}

soft_bce_firmware::program!(run);
