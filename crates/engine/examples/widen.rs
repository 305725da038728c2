//! Writes a GGUF again with every tensor as F32, so that other programs compute without rounding
//! their inputs: `widen MODEL.gguf OUT.gguf`. Holds the whole of it in memory. A file without a
//! vocabulary gets one of numbers: llama.cpp by Node.js runs nothing without.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use model::Weights;
use model::gguf::{Value, Writer};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [from, to] = args.as_slice() else { return Err("usage: widen MODEL.gguf OUT.gguf".into()) };
    let weights = Weights::open(Path::new(from))?;
    let metadata = weights.gguf_metadata().ok_or("only a GGUF is written again")?;
    let mut out = Writer::default();
    let nameless = metadata.get(KIND).and_then(Value::as_str) == Some("no_vocab");
    if nameless {
        let ids = weights.tensor("token_embd.weight")?.shape[0];
        set_numbers(&mut out, ids);
    }
    let kept = |key: &str| !(key.starts_with("split.") || nameless && key == KIND);
    for (key, value) in metadata.iter().filter(|(key, _)| kept(key)) {
        let all_f32 = key == "general.file_type";
        out.set(key, if all_f32 { Value::U32(0) } else { value.clone() });
    }
    for (name, tensor) in weights.tensors() {
        let format = tensor.element.format.ok_or_else(|| format!("{name} has no floats"))?;
        let mut values = Vec::with_capacity(tensor.elements() as usize);
        let (_, width) = tensor.rows();
        weights.read_rows(tensor, |_, bytes| {
            let rows = bytes.len() / tensor.row_bytes() as usize;
            let begin = values.len();
            values.resize(begin + rows * width, 0.0);
            format.dequantize(bytes, &mut values[begin..]);
        })?;
        out.tensor(name, &tensor.shape, values);
    }
    let mut file = BufWriter::new(File::create(to)?);
    out.write_to(&mut file)?;
    file.flush()?;
    Ok(())
}

fn set_numbers(out: &mut Writer<'_>, ids: usize) {
    let text = |text: &str| Value::String(text.to_owned());
    let names = (0..ids).map(|id| Value::String(id.to_string()));
    out.set(KIND, text("gpt2"));
    out.set("tokenizer.ggml.pre", text("gpt-2"));
    out.set("tokenizer.ggml.tokens", Value::Array(names.collect()));
    out.set("tokenizer.ggml.token_type", Value::Array(vec![Value::I32(1); ids]));
    out.set("tokenizer.ggml.merges", Value::Array(vec![text("1 0")]));
}

const KIND: &str = "tokenizer.ggml.model";
