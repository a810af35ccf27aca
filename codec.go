package coatcheck

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/coatcheck/coatcheck/internal/payload"
)

// The forms in which values are written. They are part of the stored format.
const (
	tagJSON     byte = 'j'
	tagString   byte = 's' // the bytes of the string
	tagBytes    byte = 'b' // the bytes
	tagBool     byte = 'o' // one byte, 0 or 1
	tagSigned   byte = 'i' // zigzag varint
	tagUnsigned byte = 'u' // uvarint
	tagTime     byte = 't' // time.Time.MarshalBinary
)

// codec writes and reads the values of one type. It is chosen once, when a key
// is made.
type codec[T any] struct {
	// encode appends the value to dst, and returns all of it.
	encode func(dst []byte, v T) (payload.Value, error)
	decode func(payload.Value) (T, error)
	// plain: none of the value's own methods runs while it is encoded, so that
	// dst may be memory of the session, and its lock be held.
	plain bool
}

// codecOf returns the short form of exactly those types that have one, and
// JSON for all others: a named string may have a MarshalJSON of its own.
func codecOf[T any]() codec[T] {
	var zero T
	var c any
	switch any(&zero).(type) {
	case *string:
		c = textCodec
	case *[]byte:
		c = bytesCodec
	case *bool:
		c = boolCodec
	case *time.Time:
		c = timeCodec
	case *int:
		c = signedCodec[int]()
	case *int8:
		c = signedCodec[int8]()
	case *int16:
		c = signedCodec[int16]()
	case *int32:
		c = signedCodec[int32]()
	case *int64:
		c = signedCodec[int64]()
	case *uint:
		c = unsignedCodec[uint]()
	case *uint8:
		c = unsignedCodec[uint8]()
	case *uint16:
		c = unsignedCodec[uint16]()
	case *uint32:
		c = unsignedCodec[uint32]()
	case *uint64:
		c = unsignedCodec[uint64]()
	default:
		return codec[T]{
			encode: func(_ []byte, v T) (payload.Value, error) {
				b, err := json.Marshal(v)
				return payload.Value{Tag: tagJSON, Bytes: b}, err
			},
			decode: fromJSON[T],
		}
	}
	return c.(codec[T])
}

// fromJSON decodes a value in any form by way of JSON.
func fromJSON[T any](v payload.Value) (value T, err error) {
	text, err := toJSON(v)
	if err == nil {
		err = json.Unmarshal(text, &value)
	}
	return value, err
}

// toJSON writes a value in any form as JSON.
func toJSON(v payload.Value) ([]byte, error) {
	switch v.Tag {
	case tagJSON:
		return v.Bytes, nil
	case tagString:
		return json.Marshal(string(v.Bytes))
	case tagBytes:
		return strconv.AppendQuote(nil, base64.StdEncoding.EncodeToString(v.Bytes)), nil
	case tagBool:
		value, err := decodeBool(v.Bytes)
		return strconv.AppendBool(nil, value), err
	case tagTime:
		var value time.Time
		if err := value.UnmarshalBinary(v.Bytes); err != nil {
			return nil, err
		}
		return json.Marshal(value)
	case tagSigned:
		n, err := varint(v.Bytes)
		return strconv.AppendInt(nil, n, 10), err
	case tagUnsigned:
		n, err := uvarint(v.Bytes)
		return strconv.AppendUint(nil, n, 10), err
	}
	return nil, fmt.Errorf("a value of form %q is unknown to this release", v.Tag)
}

var textCodec = codec[string]{
	plain: true,
	encode: func(dst []byte, v string) (payload.Value, error) {
		return payload.Value{Tag: tagString, Bytes: append(dst, v...)}, nil
	},
	decode: func(v payload.Value) (string, error) {
		if v.Tag == tagString {
			return string(v.Bytes), nil
		}
		return fromJSON[string](v)
	},
}

var bytesCodec = codec[[]byte]{
	plain: true,
	encode: func(dst, v []byte) (payload.Value, error) {
		return payload.Value{Tag: tagBytes, Bytes: append(dst, v...)}, nil
	},
	decode: func(v payload.Value) ([]byte, error) {
		if v.Tag == tagBytes {
			return append([]byte{}, v.Bytes...), nil
		}
		return fromJSON[[]byte](v)
	},
}

var boolCodec = codec[bool]{
	plain: true,
	encode: func(dst []byte, v bool) (payload.Value, error) {
		b := byte(0)
		if v {
			b = 1
		}
		return payload.Value{Tag: tagBool, Bytes: append(dst, b)}, nil
	},
	decode: func(v payload.Value) (bool, error) {
		if v.Tag != tagBool {
			return fromJSON[bool](v)
		}
		return decodeBool(v.Bytes)
	},
}

func decodeBool(b []byte) (bool, error) {
	if len(b) != 1 || b[0] > 1 {
		return false, fmt.Errorf("a bool is one byte, 0 or 1")
	}
	return b[0] == 1, nil
}

var timeCodec = codec[time.Time]{
	plain: true,
	encode: func(dst []byte, v time.Time) (payload.Value, error) {
		b, err := v.AppendBinary(dst)
		return payload.Value{Tag: tagTime, Bytes: b}, err
	},
	decode: func(v payload.Value) (t time.Time, err error) {
		if v.Tag == tagTime {
			err = t.UnmarshalBinary(v.Bytes)
			return t, err
		}
		return fromJSON[time.Time](v)
	},
}

func signedCodec[T int | int8 | int16 | int32 | int64]() codec[T] {
	return codec[T]{
		plain: true,
		encode: func(dst []byte, v T) (payload.Value, error) {
			return payload.Value{Tag: tagSigned, Bytes: binary.AppendVarint(dst, int64(v))}, nil
		},
		decode: func(v payload.Value) (T, error) {
			if v.Tag != tagSigned {
				return fromJSON[T](v)
			}
			n, err := varint(v.Bytes)
			if err == nil && int64(T(n)) != n {
				err = fmt.Errorf("%d is out of range", n)
			}
			return T(n), err
		},
	}
}

func unsignedCodec[T uint | uint8 | uint16 | uint32 | uint64]() codec[T] {
	return codec[T]{
		plain: true,
		encode: func(dst []byte, v T) (payload.Value, error) {
			return payload.Value{Tag: tagUnsigned, Bytes: binary.AppendUvarint(dst, uint64(v))}, nil
		},
		decode: func(v payload.Value) (T, error) {
			if v.Tag != tagUnsigned {
				return fromJSON[T](v)
			}
			n, err := uvarint(v.Bytes)
			if err == nil && uint64(T(n)) != n {
				err = fmt.Errorf("%d is out of range", n)
			}
			return T(n), err
		},
	}
}

func varint(b []byte) (int64, error) {
	n, used := binary.Varint(b)
	if used <= 0 || used != len(b) {
		return 0, fmt.Errorf("not a number")
	}
	return n, nil
}

func uvarint(b []byte) (uint64, error) {
	n, used := binary.Uvarint(b)
	if used <= 0 || used != len(b) {
		return 0, fmt.Errorf("not a number")
	}
	return n, nil
}
