//! The lines of the result.

use std::time::Duration;

/// What the parts below us reach for the same work.
#[derive(Clone, Copy)]
pub enum Floor {
    /// Nothing below us does the same work.
    None,
    Is(f64),
}

/// Prints a figure, its floor and what part of the floor it reaches.
pub fn figure(name: &str, value: f64, unit: &str, floor: Floor) {
    line(name, value, unit);
    if let Floor::Is(floor) = floor {
        line(&format!("{name}_floor"), floor, unit);
        line(&format!("{name}_ratio"), value / floor, "1");
    }
}

fn line(name: &str, value: f64, unit: &str) {
    let digits = match value.abs() {
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        _ => 3,
    };
    println!("{name} {value:.digits$} {unit}");
}

pub fn say(text: impl std::fmt::Display) {
    eprintln!("==> {text}");
}

pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
