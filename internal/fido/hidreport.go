package fido

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// FIDO's application collection (CTAP 2.1 §11.2.8.1): usage page 0xF1D0, usage 0x01.
const fidoUsage = 0xf1d0<<16 | 0x01

// maxReportDescriptor is the kernel's own bound on a report descriptor, in bytes
// (HID_MAX_DESCRIPTOR_SIZE).
const maxReportDescriptor = 4096

// Bounds on a report descriptor's state: nested Push items, and usages before one main item.
const (
	maxPush   = 16
	maxUsages = 256
)

var errDescriptor = errors.New("the report descriptor is damaged")

// Items of a report descriptor, without their size bits (HID 1.11 §6.2.2.4, §6.2.2.7, §6.2.2.8).
const (
	itemLong       = 0xfe
	itemCollection = 0xa0
	itemUsagePage  = 0x04
	itemPush       = 0xa4
	itemPop        = 0xb4
	itemUsage      = 0x08

	itemTypeMask = 0x0c
	itemTypeMain = 0x00

	collectionApplication = 0x01
)

// isFIDO reports whether a report descriptor (HID 1.11 §6.2.2) has an application collection of
// FIDO's usage. An error says that the descriptor is damaged; what stood before the damage counts.
func isFIDO(desc []byte) (bool, error) {
	if len(desc) > maxReportDescriptor {
		return false, fmt.Errorf("%w: %d bytes", errDescriptor, len(desc))
	}
	var (
		page   uint32
		pushed []uint32
		usages []usage
		found  bool
	)
	for len(desc) > 0 {
		prefix, data, rest, err := nextItem(desc)
		if err != nil {
			return found, err
		}
		desc = rest
		if prefix == itemLong {
			continue // none is defined
		}
		switch tag := prefix &^ 0x03; {
		case tag == itemUsagePage:
			page = number(data)
		case tag == itemPush:
			if len(pushed) == maxPush {
				return found, fmt.Errorf("%w: its state is pushed too often", errDescriptor)
			}
			pushed = append(pushed, page)
		case tag == itemPop:
			if len(pushed) == 0 {
				return found, fmt.Errorf("%w: its state is popped before it is pushed", errDescriptor)
			}
			page, pushed = pushed[len(pushed)-1], pushed[:len(pushed)-1]
		case tag == itemUsage:
			if len(usages) == maxUsages {
				return found, fmt.Errorf("%w: too many usages", errDescriptor)
			}
			usages = append(usages, usage{number(data), len(data) == 4})
		case tag&itemTypeMask == itemTypeMain:
			if tag == itemCollection && number(data) == collectionApplication {
				for _, u := range usages {
					found = found || u.full(page) == fidoUsage
				}
			}
			usages = usages[:0] // a main item ends what is local to it
		}
	}
	return found, nil
}

// usage is one Usage item; extended ones name their own page.
type usage struct {
	value    uint32
	extended bool
}

// full is the usage with its page, which is the one in effect at the main item.
func (u usage) full(page uint32) uint32 {
	if u.extended {
		return u.value
	}
	return page<<16 | u.value&0xffff
}

// nextItem cuts the first item from b, which is not empty.
func nextItem(b []byte) (prefix byte, data, rest []byte, err error) {
	prefix, b = b[0], b[1:]
	size := [...]int{0, 1, 2, 4}[prefix&0x03]
	if prefix == itemLong {
		if len(b) < 2 {
			return 0, nil, nil, fmt.Errorf("%w: it is cut short", errDescriptor)
		}
		size, b = int(b[0]), b[2:]
	}
	if len(b) < size {
		return 0, nil, nil, fmt.Errorf("%w: it is cut short", errDescriptor)
	}
	return prefix, b[:size], b[size:], nil
}

// number is a short item's data, little-endian and without sign.
func number(data []byte) uint32 {
	var b [4]byte
	copy(b[:], data)
	return binary.LittleEndian.Uint32(b[:])
}
