package rest

import "time"

// SetLinger says for how long a request without an answer is waited for.
func (w *Writer) SetLinger(d time.Duration) { w.linger = d }
