//! What the make-up of a panel must be.

use serde::{Deserialize, Serialize};

/// How many people of one value sit on the panel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The value.
    pub value: String,
    /// The fewest.
    pub min: u32,
    /// The most.
    pub max: u32,
}

/// What a panel must be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quotas {
    /// By house.
    pub houses: Vec<Share>,
    /// By employer.
    pub employers: Vec<Share>,
    /// How many sit on it.
    pub size: u32,
}
