use super::*;

fn new(source: &str) -> Result<Pattern, PatternError> {
    Pattern::new(source, &mut Budget::for_load(source.len()))
}

/// Matches and gaps, in order.
fn cut<'t>(pattern: &str, text: &'t str) -> Vec<&'t str> {
    let pattern = new(pattern).expect("understood");
    let mut budget = Budget::for_text(text.len());
    let (mut search, mut at, mut out) = (pattern.search(&mut budget), 0, Vec::new());
    while let Some(found) = search.next(text, at).expect("cheap") {
        if found.start > at {
            out.push(&text[at..found.start]);
        }
        at = found.end;
        out.push(&text[found]);
    }
    if at < text.len() {
        out.push(&text[at..]);
    }
    out
}

#[test]
fn the_leftmost_alternative_wins_and_runs_give_back() {
    assert_eq!(cut("ab|a|b", "aabb"), ["a", "ab", "b"]);
    assert_eq!(cut("a*ab", "aaab"), ["aaab"]);
    assert_eq!(cut("[ab]{2,3}b", "ababab"), ["abab", "ab"]);
    assert_eq!(cut("a+?b?", "aab"), ["a", "ab"]);
    assert_eq!(cut("a?+a", "a aa"), ["a ", "aa"], "what is taken for good is not given back");
    assert_eq!(cut("(?:ab)+c", "ababc ab"), ["ababc", " ab"]);
    assert_eq!(cut("(?>a|ab)c", "abc ac"), ["abc ", "ac"]);
}

#[test]
fn looks_ahead() {
    assert_eq!(cut(r"\s+(?!\S)|\s+", "a   b  "), ["a", "  ", " ", "b", "  "]);
    assert_eq!(cut("a(?=b)", "acab"), ["ac", "a", "b"]);
    assert_eq!(cut(r"\s+$", "a  b  "), ["a  b", "  "]);
}

#[test]
fn classes_are_unicode_and_fold_case() {
    assert_eq!(cut(r"\p{L}+", "äbcж 1水"), ["äbcж", " 1", "水"]);
    assert_eq!(cut(r"(?i:'s|'t)", "'S't's"), ["'S", "'t", "'s"]);
    assert_eq!(cut(r"[^\r\n\p{L}\p{N}]?\p{L}+", "x\ny z"), ["x", "\n", "y", " z"]);
    assert_eq!(cut(r"\p{N}{1,3}", "12345"), ["123", "45"]);
    assert_eq!(cut(r"[]a]+|[\]\-[:digit:]]", "]a-1"), ["]a", "-", "1"]);
    assert_eq!(cut(".", "a\n"), ["a", "\n"]);
}

#[test]
fn refuses_what_it_does_not_understand_by_saying_where() {
    for bad in ["(?<!a)b", "(a", "a)", "*a", "a**", r"\b", "[a", "(?:a*)*", r"\1", "a{3,2}", "^a"] {
        assert!(new(bad).is_err(), "{bad}");
    }
    let deep = "(".repeat(40) + &")".repeat(40);
    assert!(new(&deep).is_err());
    assert!(new("(?:(?:a{1000}){1000}){1000}").is_err());
    assert!(new(&"a".repeat(MAX_SOURCE + 1)).is_err());
}

#[test]
fn hostile_expressions_end() {
    let text = "a".repeat(100_000);
    for hostile in ["(?:a|a)+b", "(?:a+)+b", "a*b|c", "(?=a*b)a|(?:a?a?)a*b"] {
        let pattern = new(hostile).expect("understood");
        let mut budget = Budget::for_text(text.len());
        let found = pattern.search(&mut budget).next(&text, 0);
        let error = found.expect_err(hostile).to_string();
        assert!(error.contains("expressions would take more than"), "{error}");
    }
    cut(r"\s*[\r\n]+|\s+(?!\S)|\s+", &" ".repeat(100_000));
}
