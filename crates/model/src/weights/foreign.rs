//! What a file is that is not what it should be, by how it begins.

use std::path::Path;

use crate::FormatError;

/// Refuses files that are known to be something else: what Git, web servers and other programs
/// leave in the place of a model. `first` is how the file begins.
pub fn refuse_foreign(path: &Path, first: &[u8]) -> Result<(), FormatError> {
    match KNOWN.iter().find(|known| known.fits(path, first)) {
        None => Ok(()),
        Some(known) => {
            let text = format!("{}: {}", path.display(), known.what);
            Err(FormatError::refused(text, known.todo))
        }
    }
}

/// Bytes of a file that are looked at.
pub const LOOK: u64 = 512;

struct Foreign {
    /// What it begins with; small letters stand for both cases in a page.
    begins: &'static [&'static [u8]],
    /// Only files that are called so.
    ends: &'static [&'static str],
    what: &'static str,
    todo: &'static str,
}

impl Foreign {
    fn fits(&self, path: &Path, first: &[u8]) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let named = self.ends.is_empty() || self.ends.iter().any(|end| name.ends_with(end));
        let text = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first).trim_ascii_start();
        let begins = |start: &&[u8]| {
            first.starts_with(start)
                || text.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
        };
        named && self.begins.iter().any(begins)
    }
}

const WEIGHTS: &[&str] = &[".gguf", ".safetensors"];
const SAVE: &str = "save it as safetensors, or convert it to GGUF";

const KNOWN: [Foreign; 10] = [
    Foreign {
        begins: &[b"version https://git-lfs.github.com/spec/"],
        ends: &[],
        what: "a Git LFS pointer, not the file itself",
        todo: "`git lfs pull` in its folder fetches the file, and so does `understory pull`",
    },
    Foreign {
        begins: &[b"<!doctype html", b"<html", b"<head", b"<?xml", b"<!--"],
        ends: &[".gguf", ".safetensors", ".json", ".model"],
        what: "a web page, not the file itself",
        todo: "it came from an address that shows the file or asks to log in; fetch the file's own, \
               as `understory pull` does",
    },
    Foreign {
        begins: &[b"{\"error\"", b"entry not found", b"invalid username or password", b"not found"],
        ends: WEIGHTS,
        what: "what a server says in the place of a file that it has not or does not give",
        todo: "`understory pull` fetches a model and checks it; HF_TOKEN gives access",
    },
    Foreign {
        begins: &[b"lmgg", b"fmgg", b"tjgg", b"algg"],
        ends: &[],
        what: "a model in the format that came before GGUF",
        todo: "llama.cpp's convert_llama_ggml_to_gguf.py makes it a GGUF",
    },
    Foreign {
        begins: &[b"PK\x03\x04", b"\x80\x02", b"\x80\x04"],
        ends: &[],
        what: "a file of PyTorch or another archive",
        todo: SAVE,
    },
    Foreign {
        begins: &[b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ\x00"],
        ends: &[],
        what: "a compressed file",
        todo: "unpack it first",
    },
    Foreign {
        begins: &[b"\x89HDF\r\n"],
        ends: &[],
        what: "a file of Keras or TensorFlow (HDF5)",
        todo: SAVE,
    },
    Foreign {
        begins: &[b"GGUF"],
        ends: &[".safetensors"],
        what: "a GGUF file with another ending",
        todo: "call it NAME.gguf and run it by that name",
    },
    Foreign {
        begins: &[b"ONNX", b"\x08\x07\x12\x07pytorch", b"\x08\x08\x12\x07pytorch"],
        ends: &[],
        what: "a model in the ONNX format",
        todo: "take the same model in safetensors or GGUF",
    },
    Foreign {
        begins: &[b"\x00\x00\x00\x00\x00\x00\x00\x00"],
        ends: WEIGHTS,
        what: "begins with zeros: a download that was reserved and not finished",
        todo: "fetch it again; `understory pull` checks what it fetches",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_stands_in_the_place_of_a_model() {
        let refusal = |name: &str, bytes: &[u8]| {
            refuse_foreign(Path::new(name), bytes).err().map(|error| error.to_string())
        };
        let cases: [(&str, &[u8], &str); 9] = [
            ("m.gguf", b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer"),
            ("config.json", b"\xef\xbb\xbf\n <!DOCTYPE HTML>", "web page"),
            ("m.safetensors", b"<Html lang=en>", "web page"),
            ("m.gguf", b"Entry not found", "a server says"),
            ("m.gguf", b"tjgg\x03", "before GGUF"),
            ("m.gguf", b"PK\x03\x04", "PyTorch"),
            ("m.gguf", b"\x1f\x8b\x08", "compressed"),
            ("model.safetensors", b"GGUF\x03", "another ending"),
            ("m.gguf", &[0; 64], "not finished"),
        ];
        for (name, bytes, what) in cases {
            let said = refusal(name, bytes);
            assert!(said.as_ref().is_some_and(|said| said.contains(what)), "{what}: {said:?}");
        }
        assert_eq!(refusal("m.gguf", b"GGUF\x03"), None);
        assert_eq!(refusal("config.json", b"{\"error\": 1}"), None);
        assert_eq!(refusal("m.safetensors", b"\x40\0\0\0\0\0\0\0{"), None);
        assert_eq!(refusal("m.gguf", b""), None);
    }
}
