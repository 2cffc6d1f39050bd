//! api
pub mod quantity;
pub mod selector;
