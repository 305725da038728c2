//! Texts at which a generated text ends.

/// Looks for stop texts in a text that comes in pieces, wherever the pieces are cut.
///
/// ```
/// let mut stops = text::Stops::new(vec!["END".to_owned()]);
/// assert_eq!(stops.push("more E"), "more ");
/// assert_eq!(stops.push("ND and"), "");
/// assert_eq!(stops.found(), Some("END"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Stops {
    texts: Vec<String>,
    /// What may be the beginning of one of them.
    held: String,
    found: Option<usize>,
}

impl Stops {
    /// Looks for these; empty ones are left out.
    pub fn new(mut texts: Vec<String>) -> Stops {
        texts.retain(|text| !text.is_empty());
        Stops { texts, ..Stops::default() }
    }

    /// Takes a piece and gives the text that can be shown: up to the first stop text, without what
    /// may still become one. After a stop text was found there is no more.
    pub fn push(&mut self, piece: &str) -> String {
        if self.found.is_some() {
            return String::new();
        }
        self.held.push_str(piece);
        let places = self.texts.iter().enumerate();
        let places = places.filter_map(|(i, text)| Some((self.held.find(text.as_str())?, i)));
        if let Some((at, which)) = places.min() {
            self.found = Some(which);
            self.held.truncate(at);
            return std::mem::take(&mut self.held);
        }
        let rest = self.held.split_off(self.certain());
        std::mem::replace(&mut self.held, rest)
    }

    /// The stop text that was found.
    pub fn found(&self) -> Option<&str> {
        self.found.map(|which| self.texts[which].as_str())
    }

    /// What is held back, when no more pieces come.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Bytes at the beginning of what is held that no stop text can begin in.
    fn certain(&self) -> usize {
        let longest = self.texts.iter().map(String::len).max().unwrap_or(0);
        let first = self.held.len().saturating_sub(longest.saturating_sub(1));
        let begins = |at: &usize| {
            let rest = &self.held.as_bytes()[*at..];
            self.texts.iter().any(|text| text.as_bytes().starts_with(rest))
        };
        // A stop text is UTF-8, so what begins one begins with a whole character.
        let mut places = (first..self.held.len()).filter(|&at| self.held.is_char_boundary(at));
        places.find(begins).unwrap_or(self.held.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_one_counts_and_nothing_of_it_is_shown() {
        let texts = ["\n\n", "stop", "öl"].map(str::to_owned).to_vec();
        let mut stops = Stops::new(texts);
        assert_eq!(stops.push("a\n"), "a");
        assert_eq!(stops.push("b st"), "\nb ");
        assert_eq!(stops.push("ö"), "st");
        assert_eq!(stops.push("k"), "ök");
        assert_eq!(stops.push("xstop\n\n"), "x");
        assert_eq!(stops.found(), Some("stop"));
        assert_eq!((stops.push("more"), stops.finish()), (String::new(), String::new()));
        let mut none = Stops::new(vec![String::new()]);
        assert_eq!(none.push("anything"), "anything");
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "[abä]{0,20}", stop in "[abä]{1,4}", cuts: [u8; 6]) {
            let mut stops = Stops::new(vec![stop.clone()]);
            let (mut shown, mut at) = (String::new(), 0);
            for cut in cuts {
                let mut end = (at + cut as usize % 5).min(text.len());
                while !text.is_char_boundary(end) {
                    end += 1;
                }
                shown += &stops.push(&text[at..end]);
                at = end;
            }
            shown += &stops.push(&text[at..]);
            shown += &stops.finish();
            let whole = text.split_once(stop.as_str()).map_or(text.as_str(), |(before, _)| before);
            prop_assert_eq!(shown, whole);
            prop_assert_eq!(stops.found().is_some(), text.contains(&stop));
        }
    }
}
