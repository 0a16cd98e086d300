//! CMAF by our own writer (ISO/IEC 23000-19): fragmented MP4, one track per file, one `moof` + `mdat` a part.
