//! `understory tokens`: the tokens that a model reads a text as.

use crate::{
    cli::{TextArgs, TokensArgs},
    model_source::opened,
    prompt,
    units::plural,
};
use anyhow::Result;
use engine::ready::text_ids;
use serde_json::{Value, json};
use std::io::Write;
use text::Tokenizer;

pub fn tokens(args: &TokensArgs) -> Result<()> {
    let text = given(&args.text)?;
    let model = opened(&args.model, args.json)?;
    let tokenizer = model.tokenizer()?;
    let prefix = if args.bare { Vec::new() } else { model.prefix(tokenizer) };
    let ids = text_ids(tokenizer, &prefix, &text, args.text.special)?;
    let mut out = crate::terminal::stdout();
    if args.json {
        let tokens = ids.iter().map(|&id| to_json(tokenizer, id)).collect::<Vec<_>>();
        let object = json!({
            "model": args.model, "count": ids.len(), "bytes": text.len(), "tokens": tokens,
        });
        writeln!(out, "{object}")?;
        return Ok(());
    }
    for &id in &ids {
        writeln!(out, "{id:>7}  {}", shown(tokenizer, id))?;
    }
    out.flush()?;
    eprintln!("[{}, {} of text]", plural(ids.len(), "token"), plural(text.len(), "byte"));
    Ok(())
}

/// The text of a command that cannot do without one.
pub fn given(args: &TextArgs) -> Result<String> {
    match prompt::given(args.text.as_deref(), args.file.as_deref())? {
        Some(text) => Ok(text),
        None => prompt::typed(),
    }
}

/// A token as JSON: `bytes` where the piece is no UTF-8 by itself.
pub fn to_json(tokenizer: &Tokenizer, id: u32) -> Value {
    let bytes = tokenizer.bytes(id);
    let special = tokenizer.is_special(id);
    let mut token = json!({ "id": id, "special": special, "token": name(tokenizer, id) });
    token["piece"] = String::from_utf8_lossy(bytes).into();
    if std::str::from_utf8(bytes).is_err() {
        token["bytes"] = bytes.into();
    }
    token
}

/// What a token stands for, in quotes; its name if it stands for no text; bytes that are no
/// character by themselves as `\xE4`.
pub fn shown(tokenizer: &Tokenizer, id: u32) -> String {
    let bytes = tokenizer.bytes(id);
    if bytes.is_empty() {
        return name(tokenizer, id).to_owned();
    }
    let mut text = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        let quoted = Value::from(chunk.valid()).to_string();
        text.push_str(&quoted[1..quoted.len() - 1]);
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02X}")));
    }
    text + "\""
}

/// A token as it stands in the model's files; a model may have more ids than tokens.
fn name(tokenizer: &Tokenizer, id: u32) -> &str {
    match (id as usize) < tokenizer.len() {
        true => tokenizer.token(id),
        false => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_shown_whatever_their_bytes() {
        let tokenizer = Tokenizer::train(["ä \"a\" "], 257).expect("the bytes");
        let ids = tokenizer.encode("\"ä\n").expect("cheap");
        let pieces: Vec<String> = ids.iter().map(|&id| shown(&tokenizer, id)).collect();
        assert_eq!(pieces, [r#""\"""#, r#""\xC3""#, r#""\xA4""#, r#""\n""#]);
        assert_eq!(shown(&tokenizer, tokenizer.end_of_text()), "<|endoftext|>");
        assert_eq!(to_json(&tokenizer, ids[1])["bytes"], json!([0xc3]));
        assert_eq!(to_json(&tokenizer, ids[0])["piece"], "\"");
    }
}
