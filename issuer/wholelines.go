package issuer

import "io"

// wholeLines writes lines to a stream that may take only a part of one, as a disk
// does that is full: the next line does not run into what was cut short, or both
// would be lost to whoever reads them. Each Write is one line; one at a time.
type wholeLines struct {
	out io.Writer
	cut bool
}

func (w *wholeLines) Write(line []byte) (int, error) {
	if w.cut {
		if _, err := io.WriteString(w.out, "\n"); err != nil {
			return 0, err //nolint:wrapcheck // it is handed on as it came
		}
		w.cut = false
	}
	n, err := w.out.Write(line)
	w.cut = err != nil && n > 0
	return n, err //nolint:wrapcheck // it is handed on as it came
}
