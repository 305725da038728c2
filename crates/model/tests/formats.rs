//! A model in every weight format: with inputs in f32 it has the bits of the same model with its
//! weights widened, and with inputs in 8 bits it is close to that, with the same bits everywhere.

use std::path::Path;
use std::sync::Arc;

use kernel::random::Stream;
use kernel::{Activations, Format, Isa, Kernel};
use model::gguf::{Value, Writer};
use model::{ElementType, Model, Session};

const VOCAB: usize = 40;
const DIM: usize = 256;
const TOKENS: [u32; 9] = [3, 17, 39, 0, 21, 21, 8, 30, 5];

/// Tensors of a Qwen 2 with one layer and matrices in one format: (name, shape).
const MATRICES: [(&str, [usize; 2]); 9] = [
    ("token_embd", [VOCAB, DIM]),
    ("output", [VOCAB, DIM]),
    ("blk.0.attn_q", [DIM, DIM]),
    ("blk.0.attn_k", [64, DIM]),
    ("blk.0.attn_v", [64, DIM]),
    ("blk.0.attn_output", [DIM, DIM]),
    ("blk.0.ffn_gate", [512, DIM]),
    ("blk.0.ffn_up", [512, DIM]),
    ("blk.0.ffn_down", [DIM, 512]),
];

fn set_shape(writer: &mut Writer<'_>) {
    writer.set("general.architecture", Value::String("qwen2".into()));
    for (key, value) in [
        ("context_length", 64),
        ("embedding_length", DIM as u32),
        ("block_count", 1),
        ("feed_forward_length", 512),
        ("attention.head_count", 4),
        ("attention.head_count_kv", 1),
    ] {
        writer.set(&format!("qwen2.{key}"), Value::U32(value));
    }
    writer.set("qwen2.attention.layer_norm_rms_epsilon", Value::F32(1e-6));
    for name in ["output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"] {
        writer.tensor(&format!("{name}.weight"), &[DIM], vec![1.0; DIM]);
    }
}

/// Random blocks whose scales are small numbers: half-precision fields are overwritten.
fn random_rows(format: Format, count: usize, item: u64) -> Vec<u8> {
    let stream = Stream::new(1, "formats", item);
    let mut bytes: Vec<u8> =
        (0..count as u64 * format.block_bytes() as u64).map(|i| stream.u32_at(i) as u8).collect();
    // Where half-precision scales lie in a block.
    let halves: &[usize] = match format {
        Format::F32 | Format::F16 | Format::BF16 => &[],
        Format::Q8_0 | Format::Q4_0 | Format::Q5_0 | Format::Iq4Nl => &[0],
        Format::Q4_1 | Format::Q5_1 | Format::Q4K | Format::Q5K => &[0, 2],
        Format::Q2K => &[80, 82],
        Format::Q3K => &[108],
        Format::Q6K => &[208],
    };
    for (index, block) in bytes.chunks_exact_mut(format.block_bytes()).enumerate() {
        let small = 0x1400 + (stream.u32_at(1 << 40 | index as u64) & 0x3ff) as u16; // about 1/800
        for &at in halves {
            block[at..at + 2].copy_from_slice(&small.to_le_bytes());
        }
        match format {
            Format::F32 => {
                block.copy_from_slice(&(stream.normal_at(index as u64) / 16.0).to_le_bytes())
            }
            Format::F16 => block[1] = block[1] & 0x80 | 0x2c, // between 1/16 and 1/8
            Format::BF16 => {
                block.copy_from_slice(&(stream.normal_at(index as u64) / 16.0).to_le_bytes()[2..])
            }
            _ => {}
        }
    }
    bytes
}

fn kind_of(format: Format) -> u32 {
    let is = |kind: &u32| ElementType::of_gguf(*kind).is_some_and(|e| e.format == Some(format));
    (0..64).find(is).expect("every format has a number")
}

/// The model in `format`, or (`wide`) with its weights widened to f32.
fn write(path: &Path, format: Format, wide: bool) {
    let mut writer = Writer::default();
    set_shape(&mut writer);
    for (bias, width) in [("attn_q", DIM), ("attn_k", 64), ("attn_v", 64)] {
        writer.tensor(&format!("blk.0.{bias}.bias"), &[width], vec![0.125; width]);
    }
    for (item, (name, shape)) in MATRICES.into_iter().enumerate() {
        let elements = shape[0] * shape[1];
        let bytes = random_rows(format, elements / format.block(), item as u64);
        let name = format!("{name}.weight");
        if wide {
            let mut values = vec![0.0; elements];
            format.dequantize(&bytes, &mut values);
            writer.tensor(&name, &shape, values);
        } else {
            writer.tensor_bytes(&name, &shape, kind_of(format), bytes);
        }
    }
    let mut file = std::fs::File::create(path).expect("created");
    writer.write_to(&mut file).expect("written");
}

fn logits(model: &Arc<Model>, kernel: Kernel, activations: Activations, piece: usize) -> Vec<f32> {
    let mut session = Session::with(Arc::clone(model), kernel, activations);
    let mut all = Vec::new();
    for piece in TOKENS.chunks(piece) {
        session.extend_all(piece, |_, logits| all.extend_from_slice(logits)).expect("room");
    }
    all
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn every_format_runs_with_the_bits_of_its_definition() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let kernel = Kernel::new(Isa::best(), 2);
    for format in Format::ALL {
        let (narrow, wide) = (dir.path().join("narrow.gguf"), dir.path().join("wide.gguf"));
        write(&narrow, format, false);
        write(&wide, format, true);
        let open = |path: &Path| Arc::new(Model::open(path, &kernel).expect("readable"));
        let (narrow, wide) = (open(&narrow), open(&wide));
        assert!(narrow.bytes() <= wide.bytes());
        let want = logits(&wide, kernel.clone(), Activations::F32, 9);
        assert!(want.iter().all(|x| x.is_finite()) && want.iter().any(|x| *x != 0.0), "{format}");
        let got = logits(&narrow, kernel.clone(), Activations::F32, 9);
        assert_eq!(bits(&got), bits(&want), "{format}");
        let quick = logits(&narrow, kernel.clone(), Activations::Int8, 9);
        let size = want.iter().fold(0.0f32, |max, x| max.max(x.abs()));
        let apart = quick.iter().zip(&want).fold(0.0f32, |max, (a, b)| max.max((a - b).abs()));
        println!("{format}: {:.1e}", apart / size);
        assert!(apart <= 0.05 * size, "{format}: {apart} of {size}");
        for isa in Isa::available() {
            for (threads, piece) in [(1, 9), (3, 1), (7, 4)] {
                let again = logits(&narrow, Kernel::new(isa, threads), Activations::Int8, piece);
                assert_eq!(bits(&again), bits(&quick), "{format} {isa} {threads} {piece}");
            }
        }
    }
}
