//! Ways to cheat, for the demo and the tests: a check that has never caught anybody proves nothing.

/// How a peer pretends to have worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "lower")]
pub enum Cheat {
    /// Takes one step and claims all of them.
    Lazy,
    /// Sends random numbers.
    Noise,
    /// Sends another peer's update as its own.
    Copy,
    /// Trains, then sends the opposite of what it learnt.
    SignFlip,
}

impl std::fmt::Display for Cheat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Lazy => "lazy",
            Self::Noise => "noise",
            Self::Copy => "copy",
            Self::SignFlip => "signflip",
        })
    }
}
