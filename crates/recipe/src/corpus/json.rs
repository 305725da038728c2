//! Documents in JSON: a value on every line, values one after the other, or an array of them.

use super::document::{Document, Fields, Messages, Value};
use serde::{
    Deserialize,
    de::{
        DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
        value::MapAccessDeserializer,
    },
};
use std::{
    fmt,
    io::{self, BufRead},
};

/// Takes a document, or why a value is none; whether to go on.
pub(super) type Take<'a> = &'a mut dyn FnMut(Result<Document, String>) -> bool;

/// The document on one line.
pub(super) fn of_line(line: &str) -> Result<Document, String> {
    let entry: Entry = serde_json::from_str(line).map_err(|e| {
        let text = e.to_string();
        // The line that this counts is always the first.
        let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
        format!("{what}, at byte {} of the line", e.column())
    })?;
    entry.document()
}

/// All documents of a stream of values, or of an array.
///
/// Errors: it is no JSON, or cannot be read. Where `take` had enough it just ends.
pub(super) fn read_all(reader: impl BufRead, array: bool, take: Take) -> serde_json::Result<()> {
    let mut deserializer = serde_json::Deserializer::from_reader(reader);
    if !array {
        for entry in deserializer.into_iter::<Entry>() {
            if !take(entry?.document()) {
                break;
            }
        }
        return Ok(());
    }
    match Array(take).deserialize(&mut deserializer)? {
        true => deserializer.end(),
        false => Ok(()),
    }
}

/// Skips white space; the byte after it and how many lines were skipped.
pub(super) fn skip_blank(reader: &mut dyn BufRead) -> io::Result<(Option<u8>, usize)> {
    let mut lines = 0;
    loop {
        let buffer = reader.fill_buf()?;
        let blank = buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        lines += buffer[..blank].iter().filter(|byte| **byte == b'\n').count();
        let next = buffer.get(blank).copied();
        if blank == 0 {
            return Ok((next, lines));
        }
        reader.consume(blank);
    }
}

/// An array of documents, each of which is taken before the next is read.
struct Array<'a>(Take<'a>);

impl<'de> DeserializeSeed<'de> for Array<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Array<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of documents")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<bool, A::Error> {
        while let Some(entry) = seq.next_element::<Entry>()? {
            if !(self.0)(entry.document()) {
                // What stands behind is of no interest any more.
                while seq.next_element::<IgnoredAny>().is_ok_and(|more| more.is_some()) {}
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// One value that is to be a document.
enum Entry {
    Text(String),
    Object(Box<Fields>),
}

impl Entry {
    fn document(self) -> Result<Document, String> {
        match self {
            Entry::Text(text) => Ok(Document { text, other_parts: 0 }),
            Entry::Object(fields) => fields.document().map_err(|why| why.to_string()),
        }
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Entry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_str<E>(self, text: &str) -> Result<Entry, E> {
                Ok(Entry::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Entry, A::Error> {
                let fields = Fields::deserialize(MapAccessDeserializer::new(map));
                Ok(Entry::Object(Box::new(fields?)))
            }
        }
        from.deserialize_any(Any)
    }
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Value,
}

impl<'de> Deserialize<'de> for Messages {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Messages;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of messages")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Messages, A::Error> {
                let mut all = Messages::default();
                while let Some(Message { content }) = seq.next_element()? {
                    all.push(content);
                }
                Ok(all)
            }
        }
        from.deserialize_seq(List)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E>(self, text: &str) -> Result<Value, E> {
                Ok(Value::Text(text.to_owned()))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
                Ok(Value::Other)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
                Ok(Value::Other)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
                Ok(Value::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
                Ok(Value::Other)
            }

            fn visit_unit<E: Error>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
                let mut parts = Document::default();
                while let Some(part) = seq.next_element::<Value>()? {
                    parts.push(part);
                }
                Ok(Value::Parts(parts))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let mut found = None;
                while let Some(key) = map.next_key::<String>()? {
                    if key != "text" {
                        map.next_value::<IgnoredAny>()?;
                    } else if let Value::Text(text) = map.next_value()? {
                        found = Some(text);
                    }
                }
                Ok(Value::Part(found))
            }
        }
        from.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &str) -> Result<String, String> {
        of_line(line).map(|document| document.text)
    }

    #[test]
    fn contents_of_messages_may_be_parts_or_null() {
        let chat = r#"{"messages":[
            {"role":"user","content":[{"type":"text","text":"What is "},"this?",
                {"type":"image_url","image_url":{"url":"data:"}}]},
            {"role":"assistant","content":null,"tool_calls":[{"id":1}]},
            {"role":"assistant","content":"A tree."}]}"#;
        let document = of_line(chat).expect("a chat");
        assert_eq!(document.text, "What is this?\n\n\n\nA tree.");
        assert_eq!(document.other_parts, 1);
        for bad in [
            r#"{"messages":[{"content":"a"},{}]}"#,
            r#"{"messages":[{"content":"a"},{"content":5}]}"#,
        ] {
            assert!(text(bad).is_err_and(|why| why.contains("message 2")), "{bad}");
        }
    }

    #[test]
    fn what_is_no_text_is_passed_over() {
        let brackets = format!("{{\"x\":[{}0],\"text\":\"a\"}}\n", "[],".repeat(1000));
        assert_eq!(text(&brackets).as_deref(), Ok("a"));
        for other in [
            r#"{"text":5,"messages":[{"content":"b"}]}"#,
            r#"{"text":{},"prompt":"","completion":"b"}"#,
            r#"{"text":null,"prompt":"","completion":"b"}"#,
            r#"{"text":["x"],"prompt":"","completion":"b"}"#,
        ] {
            assert_eq!(text(other).as_deref(), Ok("b"));
        }
        assert!(text("[\"text\",\"\",\"\",null]").is_err());
        let error = text(r#"{"text": nul}"#).expect_err("no JSON");
        assert!(error.ends_with("at byte 13 of the line"), "{error}");
    }

    #[test]
    fn arrays_and_streams_are_taken_one_by_one() {
        let read = |json: &str, most: usize| {
            let mut taken = Vec::new();
            let mut bytes = json.as_bytes();
            let (first, _) = skip_blank(&mut bytes).expect("reads from memory");
            let result = read_all(bytes, first == Some(b'['), &mut |document| {
                taken.push(document.map(|d| d.text).unwrap_or_else(|why| format!("! {why}")));
                taken.len() < most
            });
            result.map(|()| taken).map_err(|e| e.to_string())
        };
        let array = " \n[{\"text\":\"a\"}, \"b\",\n {\"prompt\":\"c\",\"completion\":\"d\"}] \n";
        assert_eq!(read(array, 9), Ok(["a", "b", "cd"].map(str::to_owned).to_vec()));
        assert_eq!(read(array, 2), Ok(["a", "b"].map(str::to_owned).to_vec()));
        let stream = "{\n\"text\":\"a\"}\n{\"text\":\"b\"}";
        assert_eq!(read(stream, 9), Ok(["a", "b"].map(str::to_owned).to_vec()));
        assert_eq!(read("[]", 9), Ok(Vec::new()));
        let bad = read("[{\"text\":\"a\"},{\"txt\":1}]", 9).expect("it is JSON");
        assert_eq!(bad[1], "! no \"text\" in it");
        assert!(read("[{\"text\":\"a\"}] []", 9).is_err(), "more after the array");
        assert!(read("[{\"text\":\"a\"},\n5]", 9).is_err_and(|why| why.contains("line 2")));
        assert!(read(&"[".repeat(1 << 20), 9).is_err(), "nesting is bounded");
    }
}
