//! Tables as Markdown, and what stands above them.

use std::fmt::Write as _;
use std::process::Command;

/// With so many decimals; nothing where it is NaN.
pub fn number(value: f64, decimals: usize) -> String {
    if value.is_nan() {
        String::new()
    } else {
        format!("{value:.decimals$}")
    }
}

/// Rows of equal length under a head.
pub struct Table(Vec<Vec<String>>);

impl Table {
    pub fn new(head: &[&str]) -> Self {
        Self(vec![head.iter().map(|&cell| cell.to_owned()).collect()])
    }

    pub fn push(&mut self, row: Vec<String>) {
        self.0.push(row);
    }

    /// Columns of equal width.
    pub fn markdown(&self) -> String {
        let width = |column: usize| self.0.iter().map(|row| row[column].len()).max();
        let widths: Vec<usize> = (0..self.0[0].len())
            .map(|column| width(column).unwrap_or(0).max(3))
            .collect();
        let rule: Vec<String> = widths
            .iter()
            .map(|width| "-".repeat(width - 1) + ":")
            .collect();
        let mut out = String::new();
        for row in [&self.0[0], &rule].into_iter().chain(&self.0[1..]) {
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(out, "| {cell:>width$} ");
            }
            out += "|\n";
        }
        out
    }
}

/// What a command prints, on one line; nothing where it fails.
pub fn output(command: &str, arguments: &[&str]) -> String {
    let output = Command::new(command).args(arguments).output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

pub fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split(": ").nth(1)).unwrap_or("?")
    };
    let [name, family, model] = ["model name", "cpu family", "model\t"].map(field);
    format!("{name}, family {family}, model {model}")
}
