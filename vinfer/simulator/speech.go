package simulator

import "strings"

// speech is what is said, turn by turn, the agent first.
var speech = map[string][]string{
	"hi": {
		"नमस्ते, क्या मेरी बात {name} जी से हो रही है?", "हाँ, बोलिए।",
		"मैं आपके खाते के बारे में बात करना चाहती हूँ। क्या अभी दो मिनट का समय है?", "ठीक है, लेकिन जल्दी बताइए।",
		"आपके लिए टॉप-अप लोन की एक नई योजना है।", "इसकी ब्याज दर क्या होगी?",
		"सालाना साढ़े दस प्रतिशत। मैं पूरी जानकारी भेज देती हूँ।", "हाँ, भेज दीजिए। धन्यवाद।",
	},
	"ta": {
		"வணக்கம், நான் {name} அவர்களிடம் பேசுகிறேனா?", "ஆமாம், சொல்லுங்கள்.",
		"உங்கள் கணக்கைப் பற்றிப் பேச வேண்டும். இப்போது நேரம் இருக்கிறதா?", "இரண்டு நிமிடம் இருக்கிறது.",
		"உங்களுக்கு ஒரு புதிய கடன் திட்டம் உள்ளது.", "வட்டி விகிதம் என்ன?",
		"ஆண்டுக்குப் பத்தரை சதவீதம். விவரங்களை அனுப்புகிறேன்.", "சரி, அனுப்புங்கள். நன்றி.",
	},
	"te": {
		"నమస్కారం, నేను {name} గారితో మాట్లాడుతున్నానా?", "అవును, చెప్పండి.",
		"మీ ఖాతా గురించి మాట్లాడాలి. ఇప్పుడు సమయం ఉందా?", "సరే, చెప్పండి.",
	},
	"bn": {
		"নমস্কার, আমি কি {name} এর সঙ্গে কথা বলছি?", "হ্যাঁ, বলুন।",
		"আপনার অ্যাকাউন্ট নিয়ে কথা বলতে চাই। এখন সময় আছে?", "আচ্ছা, বলুন।",
	},
	"mr": {
		"नमस्कार, मी {name} यांच्याशी बोलत आहे का?", "हो, बोला.",
		"तुमच्या खात्याबद्दल बोलायचे होते. आता वेळ आहे का?", "ठीक आहे, सांगा.",
	},
	"en": {
		"Good morning, am I speaking with {name}?", "Yes, who is this?",
		"I am calling about your account. Do you have two minutes?", "All right, go on.",
		"There is a new top-up loan, and you qualify for it.", "What would the interest be?",
		"Ten and a half percent a year. I will send you the details.", "Please do. Thank you.",
	},
}

// segments returns what was said in a call.
func (c *Call) segments() []Segment {
	if c.Segments != nil {
		return c.Segments
	}
	lang, _, _ := strings.Cut(c.Language, "-")
	lines := speech[lang]
	if lines == nil {
		lines = speech["en"]
	}
	out := make([]Segment, len(lines))
	turn := c.Duration.Seconds() / float64(len(lines))
	for i, l := range lines {
		who := "agent"
		if i%2 == 1 {
			who = "customer"
		}
		from := float64(int(turn * float64(i) * 10))
		to := float64(int(turn * float64(i+1) * 10))
		out[i] = Segment{Speaker: who, Text: strings.ReplaceAll(l, "{name}", c.Name), Start: from / 10, End: to / 10, Confidence: 0.97 - float64(i%5)/50}
	}
	return out
}
