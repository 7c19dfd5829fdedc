package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
)

// damage says what is wrong with a database file.
type damage string

func (d damage) Error() string { return string(d) }

func damagef(format string, args ...any) error { return damage(fmt.Sprintf(format, args...)) }

// The file format of bbolt, version 2. Integers have the machine's byte order. A file is pages of
// one size; a page is a header, then elements, then what the elements point to.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	pageHeader  = 16 // id u64, flags u16, count u16, overflow u32 (further pages that belong to it)
	elementSize = 16 // branch: pos u32, ksize u32, page u64; leaf: flags u32, pos u32, ksize u32, vsize u32
	metaSize    = 56 // magic u32, version u32, page size u32, flags u32, root u64, sequence u64, freelist u64, end u64, tx u64
	sumSize     = 8  // FNV-1a of the meta

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagMeta     = 0x04
	flagFreelist = 0x10

	elementBucket = 0x01 // flag of a leaf element whose value is a bucket: root u64, sequence u64
	bucketHeader  = 16

	noFreelist = ^uint64(0)

	minPageSize, maxPageSize = 1024, 16 << 20
	maxDepth                 = 64
)

var native = binary.NativeEndian

// check reads a database file of size bytes from beginning to end and fails with damage unless every
// page makes sense: both meta pages are whole, each page below the end is used once or free, keys are
// in order, and nothing points outside its page or the file. bbolt itself trusts what it maps: with a
// bad file it panics, reads foreign memory or recurses without end.
//
// bbolt would go on with one good meta page of two, and so silently forget the newest commit: an OTP
// could be spent twice. A meta page lies within one sector, so that no crash leaves half of it; one
// that is bad is damage.
//
// It needs two bits of memory a page.
func check(r io.ReaderAt, size int64) error {
	m, err := readMetas(r, size)
	if err != nil {
		return err
	}
	c := &checker{r: r, meta: m, used: newBitmap(m.end), free: newBitmap(m.end)}
	c.used.set(0)
	c.used.set(1)
	if err := c.freelist(); err != nil {
		return err
	}
	if err := c.tree(m.root, span{}, 0, false); err != nil {
		return err
	}
	for id := range m.end {
		if !c.used.has(id) && !c.free.has(id) {
			return damagef("page %d is lost", id)
		}
	}
	return nil
}

type boltMeta struct {
	pageSize                int64
	root, freelist, end, tx uint64 // end is one more than the last page's id
}

// readMetas returns the newer of the two meta pages.
func readMetas(r io.ReaderAt, size int64) (boltMeta, error) {
	if size == 0 {
		return boltMeta{}, damage("it is empty")
	}
	first, err := readMeta(r, 0, size)
	if err != nil {
		return boltMeta{}, err
	}
	second, err := readMeta(r, first.pageSize, size)
	if err != nil {
		return boltMeta{}, err
	}
	if first.pageSize != second.pageSize || first.tx == second.tx {
		return boltMeta{}, damage("its two meta pages disagree")
	}
	if second.tx > first.tx {
		return second, nil
	}
	return first, nil
}

func readMeta(r io.ReaderAt, at, size int64) (boltMeta, error) {
	var page [pageHeader + metaSize + sumSize]byte
	if at+int64(len(page)) > size {
		return boltMeta{}, damage("it is cut short")
	}
	if err := readAt(r, page[:], at); err != nil {
		return boltMeta{}, err
	}
	b := page[pageHeader:]
	if native.Uint32(b) != boltMagic || native.Uint32(b[4:]) != boltVersion {
		return boltMeta{}, damagef("it is no database, or was overwritten at byte %d", at)
	}
	sum := fnv.New64a()
	sum.Write(b[:metaSize])
	if sum.Sum64() != native.Uint64(b[metaSize:]) || native.Uint16(page[8:]) != flagMeta {
		return boltMeta{}, damagef("the meta page at byte %d has a wrong checksum", at)
	}
	m := boltMeta{
		pageSize: int64(native.Uint32(b[8:])),
		root:     native.Uint64(b[16:]),
		freelist: native.Uint64(b[32:]),
		end:      native.Uint64(b[40:]),
		tx:       native.Uint64(b[48:]),
	}
	if m.pageSize < minPageSize || m.pageSize > maxPageSize || m.pageSize&(m.pageSize-1) != 0 {
		return boltMeta{}, damagef("a page size of %d makes no sense", m.pageSize)
	}
	if m.end > uint64(size/m.pageSize) {
		return boltMeta{}, damagef("it is cut short: %d of its %d pages are there", size/m.pageSize, m.end)
	}
	return m, nil
}

type checker struct {
	r    io.ReaderAt
	meta boltMeta
	used bitmap
	free bitmap
	bufs [maxDepth][]byte // one page a level of the walk
}

// page reads the page id with what overflows from it, and takes it as used.
func (c *checker) page(id uint64, depth int) ([]byte, error) {
	if id < 2 || id >= c.meta.end {
		return nil, damagef("page %d is outside the file", id)
	}
	if depth >= maxDepth {
		return nil, damagef("page %d is nested too deeply", id)
	}
	at := int64(id) * c.meta.pageSize
	if c.bufs[depth] == nil {
		c.bufs[depth] = make([]byte, c.meta.pageSize)
	}
	b := c.bufs[depth][:c.meta.pageSize]
	if err := readAt(c.r, b, at); err != nil {
		return nil, err
	}
	if native.Uint64(b) != id {
		return nil, damagef("page %d says that it is page %d", id, native.Uint64(b))
	}
	n := 1 + uint64(native.Uint32(b[12:]))
	if n > c.meta.end-id {
		return nil, damagef("page %d is longer than the file", id)
	}
	for i := id; i < id+n; i++ {
		if c.used.has(i) || c.free.has(i) {
			return nil, damagef("page %d has two uses", i)
		}
		c.used.set(i)
	}
	if n > 1 {
		long := make([]byte, int64(n)*c.meta.pageSize)
		copy(long, b)
		if err := readAt(c.r, long[len(b):], at+int64(len(b))); err != nil {
			return nil, err
		}
		return long, nil
	}
	return b, nil
}

// freelist takes the pages of the list itself as used and those that it lists as free.
func (c *checker) freelist() error {
	if c.meta.freelist == noFreelist {
		return damage("it has no list of free pages")
	}
	b, err := c.page(c.meta.freelist, 0)
	if err != nil {
		return err
	}
	if native.Uint16(b[8:]) != flagFreelist {
		return damagef("page %d is not the list of free pages", c.meta.freelist)
	}
	ids := b[pageHeader:]
	n := uint64(native.Uint16(b[10:]))
	if n == 0xFFFF { // then the first number is how many follow
		n = native.Uint64(ids)
		ids = ids[8:]
	}
	if n > uint64(len(ids))/8 {
		return damage("the list of free pages is longer than its page")
	}
	for i := range n {
		id := native.Uint64(ids[8*i:])
		if id < 2 || id >= c.meta.end || c.used.has(id) || c.free.has(id) {
			return damagef("page %d cannot be free", id)
		}
		c.free.set(id)
	}
	return nil
}

// span bounds the keys of a page: min ≤ key < max, nil is no bound.
type span struct{ min, max []byte }

// tree checks the page id and all below it. Only the root bucket may hold buckets.
func (c *checker) tree(id uint64, keys span, depth int, inBucket bool) error {
	b, err := c.page(id, depth)
	if err != nil {
		return err
	}
	switch native.Uint16(b[8:]) {
	case flagLeaf:
		return c.leaf(b, id, keys, depth, inBucket)
	case flagBranch:
		return c.branch(b, id, keys, depth, inBucket)
	}
	return damagef("page %d is neither branch nor leaf", id)
}

func (c *checker) branch(b []byte, id uint64, keys span, depth int, inBucket bool) error {
	n := int(native.Uint16(b[10:]))
	if n == 0 || pageHeader+n*elementSize > len(b) {
		return damagef("page %d has %d branches", id, n)
	}
	key := func(i int) ([]byte, error) {
		e := pageHeader + i*elementSize
		return cut(b, id, e, uint64(native.Uint32(b[e:])), uint64(native.Uint32(b[e+4:])))
	}
	k, err := key(0)
	if err != nil {
		return err
	}
	if err := order(id, k, keys, false); err != nil {
		return err
	}
	for i := range n {
		below := span{min: k, max: keys.max}
		if i+1 < n {
			next, err := key(i + 1)
			if err != nil {
				return err
			}
			if err := order(id, next, span{k, keys.max}, true); err != nil {
				return err
			}
			below.max, k = next, next
		}
		if err := c.tree(native.Uint64(b[pageHeader+i*elementSize+8:]), below, depth+1, inBucket); err != nil {
			return err
		}
	}
	return nil
}

// leaf checks a leaf page, or the leaf that is inline in a bucket's element.
func (c *checker) leaf(b []byte, id uint64, keys span, depth int, inBucket bool) error {
	n := int(native.Uint16(b[10:]))
	if pageHeader+n*elementSize > len(b) {
		return damagef("page %d has %d elements", id, n)
	}
	for i := range n {
		e := pageHeader + i*elementSize
		flags, pos := native.Uint32(b[e:]), uint64(native.Uint32(b[e+4:]))
		ksize, vsize := uint64(native.Uint32(b[e+8:])), uint64(native.Uint32(b[e+12:]))
		k, err := cut(b, id, e, pos, ksize)
		if err != nil {
			return err
		}
		if err := order(id, k, keys, i > 0); err != nil {
			return err
		}
		keys.min = k
		v, err := cut(b, id, e, pos+ksize, vsize)
		if err != nil {
			return err
		}
		if (flags == elementBucket) == inBucket || flags > elementBucket {
			return damagef("page %d has an element of the wrong kind", id)
		}
		if flags == elementBucket {
			if err := c.bucket(v, id, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *checker) bucket(v []byte, id uint64, depth int) error {
	if len(v) < bucketHeader {
		return damagef("page %d has half a bucket", id)
	}
	if root := native.Uint64(v); root != 0 {
		return c.tree(root, span{}, depth, true)
	}
	v = v[bucketHeader:]
	if len(v) < pageHeader || native.Uint16(v[8:]) != flagLeaf {
		return damagef("page %d has half a bucket", id)
	}
	return c.leaf(v, id, span{}, depth, true)
}

// cut returns the size bytes at pos, counted from the element at byte e of the page.
func cut(b []byte, id uint64, e int, pos, size uint64) ([]byte, error) {
	from, to := uint64(e)+pos, uint64(e)+pos+size
	if to > uint64(len(b)) {
		return nil, damagef("page %d points outside itself", id)
	}
	return b[from:to], nil
}

// order checks a key against its bounds; later says that it must be greater than keys.min.
func order(id uint64, k []byte, keys span, later bool) error {
	cmp := bytes.Compare(k, keys.min)
	if cmp < 0 || cmp == 0 && later || keys.max != nil && bytes.Compare(k, keys.max) >= 0 {
		return damagef("the keys of page %d are not in order", id)
	}
	return nil
}

func readAt(r io.ReaderAt, b []byte, at int64) error {
	n, err := r.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == io.EOF {
		return damage("it is cut short")
	}
	return fmt.Errorf("cannot read byte %d: %w: %w", at, ErrStorage, err)
}

type bitmap []uint64

func newBitmap(n uint64) bitmap    { return make(bitmap, (n+63)/64) }
func (b bitmap) set(i uint64)      { b[i/64] |= 1 << (i % 64) }
func (b bitmap) has(i uint64) bool { return b[i/64]&(1<<(i%64)) != 0 }
