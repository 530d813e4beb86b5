package freshsales

// Hasty makes the writer repeat at once what was not answered.
func (w *Writer) Hasty() { w.linger = 0 }
