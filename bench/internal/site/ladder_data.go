package site

import "encoding/binary"

// Data is a byte string of values, one after the other:
//
//	length of the name, name, form, length of the value, value
//
// with lengths as uvarints. A value is found without decoding the others.

const (
	tagText   = 's'
	tagNumber = 'i' // a zigzag varint
)

// cut takes a length and as many bytes off data.
func cut(data []byte) (field, rest []byte, ok bool) {
	n, used := binary.Uvarint(data)
	if used <= 0 || n > uint64(len(data)-used) {
		return nil, nil, false
	}
	return data[used : used+int(n)], data[used+int(n):], true
}

// next takes the first value off data.
func next(data []byte) (key []byte, form byte, value, rest []byte, ok bool) {
	if key, rest, ok = cut(data); !ok || len(rest) == 0 {
		return nil, 0, nil, nil, false
	}
	form = rest[0]
	value, rest, ok = cut(rest[1:])
	return key, form, value, rest, ok
}

// find returns a value, lent from data.
func find(data []byte, wanted string) (form byte, value []byte, found bool) {
	for len(data) > 0 {
		key, form, value, rest, ok := next(data)
		if !ok {
			return 0, nil, false
		}
		if string(key) == wanted {
			return form, value, true
		}
		data = rest
	}
	return 0, nil, false
}

// put appends data to dst with a value set, at its old place if it has one.
func put(dst, data []byte, wanted string, form byte, value []byte) []byte {
	placed := false
	for len(data) > 0 {
		key, _, _, rest, ok := next(data)
		if !ok {
			break
		}
		if string(key) == wanted {
			dst, placed = appendValue(dst, wanted, form, value), true
		} else {
			dst = append(dst, data[:len(data)-len(rest)]...)
		}
		data = rest
	}
	if !placed {
		dst = appendValue(dst, wanted, form, value)
	}
	return dst
}

func appendValue(dst []byte, key string, form byte, value []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(key)))
	dst = append(dst, key...)
	dst = append(dst, form)
	dst = binary.AppendUvarint(dst, uint64(len(value)))
	return append(dst, value...)
}
