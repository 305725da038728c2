//! Errors of any kind, and as one line of text.

/// An error of code that was handed in; it is only passed on and shown.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An error and what caused it, on one line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
