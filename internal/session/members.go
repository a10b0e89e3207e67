package session

import "bytes"

// members splits a valid JSON object into its members. It does what json.Unmarshal
// does with a map[string]json.RawMessage, at a third of the cost: it decodes none of
// the values. A fuzz test holds the two equal. You can skip this file.
func members(object []byte) map[string]value {
	values := make(map[string]value)
	c := cursor{json: object}
	c.skip('{')
	for c.next() != '}' {
		name := memberName(c.value())
		c.skip(':')
		values[name] = value{json: c.value()} // of two members with one name the last one counts
		if c.next() == ',' {
			c.skip(',')
		}
	}
	return values
}

// cursor reads valid JSON from left to right.
type cursor struct {
	json []byte
	at   int
}

// next returns the first byte of what comes next, after white space.
func (c *cursor) next() byte {
	for c.json[c.at] <= ' ' {
		c.at++
	}
	return c.json[c.at]
}

// skip moves past a punctuation mark, which the caller expects.
func (c *cursor) skip(mark byte) {
	if c.next() == mark {
		c.at++
	}
}

// value moves past one value and returns it.
func (c *cursor) value() []byte {
	first, start := c.next(), c.at
	switch first {
	case '"':
		c.at = stringEnd(c.json, start) + 1
	case '{', '[':
		c.at = nestedEnd(c.json, start) + 1
	default: // a number, true, false or null
		for bytes.IndexByte([]byte(",}] \t\r\n"), c.json[c.at]) < 0 {
			c.at++
		}
	}
	return c.json[start:c.at]
}

// nestedEnd returns where the object or array that begins at i ends.
func nestedEnd(json []byte, i int) int {
	for depth := 0; ; i++ {
		switch json[i] {
		case '"':
			i = stringEnd(json, i)
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i
			}
		}
	}
}

// stringEnd returns where the string that begins at i ends.
func stringEnd(json []byte, i int) int {
	for i++; json[i] != '"'; i++ {
		if json[i] == '\\' {
			i++
		}
	}
	return i
}

// memberName unquotes the name of a member. Most names have nothing to unquote.
func memberName(quoted []byte) string {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	name, _ := decodeValue[string](quoted)
	return name
}
