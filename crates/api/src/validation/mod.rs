//! What an object must satisfy beyond its schema. The rules and texts are those of upstream's validation.

pub mod meta;
pub mod names;
pub mod pod;
