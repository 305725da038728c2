//! GPT-2's way of writing any bytes as printable text: one character for each byte.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The character that stands for a byte.
pub(super) fn letter(byte: u8) -> char {
    ALPHABET[byte as usize]
}

/// Each byte as one printable character.
pub(super) fn to_alphabet(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| letter(byte)).collect()
}

/// The bytes of such a text; `None` if it is none.
pub(super) fn from_alphabet(token: &str) -> Option<Vec<u8>> {
    token.chars().map(byte).collect()
}

fn byte(c: char) -> Option<u8> {
    match c {
        '!'..='~' | '\u{a1}'..='\u{ac}' | '\u{ae}'..='\u{ff}' => Some(c as u8),
        c => BYTES.get(&c).copied(),
    }
}

/// Printable Latin-1 characters stand for themselves, the other 68 bytes for U+0100 onwards.
static ALPHABET: LazyLock<[char; 256]> = LazyLock::new(|| {
    let mut next = 0x100u32;
    let mut alphabet = ['\0'; 256];
    for (byte, c) in alphabet.iter_mut().enumerate() {
        let printable = matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
        let code = if printable { byte as u32 } else { next };
        next += u32::from(!printable);
        *c = char::from_u32(code).expect("below the surrogates");
    }
    alphabet
});

static BYTES: LazyLock<HashMap<char, u8>> =
    LazyLock::new(|| (0..=255u8).map(|byte| (ALPHABET[byte as usize], byte)).collect());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_character() {
        let all: Vec<u8> = (0..=255).collect();
        let text = to_alphabet(&all);
        assert_eq!(from_alphabet(&text), Some(all));
        assert!(text.starts_with("ĀāĂ") && text.contains("Ġ!\"#"));
        assert_eq!(from_alphabet("水"), None);
    }
}
