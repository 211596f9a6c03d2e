"""The words by which mail programs mark quoted history, signatures and disclaimers, in twelve languages and some neighbours.

en de es fr it nl pl pt sv da ja zh, and Norwegian, Finnish and Czech where their words differ. All are lower case.
"""
# ruff: noqa: SIM905  (word lists are read as text, not as lists)
# ruff: noqa: RUF001  (full-width punctuation is what the programs write)

WROTE = (
    "wrote writes schrieb geschrieben escribió escribio écrit ecrit scritto schreef geschreven napisał napisała napisan napisal pisze "
    "escreveu skrev kirjoitti napsal 写道 寫道 のメール 書きました"
).split()

# The first word of "On Tue, 3 Mar 2026 at 10:12, Kim wrote:"; a date may start the line as well.
OPENERS = frozenset(
    "on am el le il op em no na a den dnia w dne ma ti at lun mar mié mie jue vie sáb sab dom lun. mar. mer. jeu. ven. sam. dim. "
    "lunedì martedì mercoledì giovedì venerdì sabato domenica pon wt śr czw pt sob ndz niedz pon. wt. śr. czw. pt. sob. niedz. "
    "mån tis ons tor tors fre lör sön man tir lør søn mån. tis. ons. tor. tors. fre. lör. sön. man. tir. lør. søn. "
    "mon tue wed thu fri sat sun di mi do fr sa so mo ma wo vr za zo seg ter qua qui sex seg. ter. qua. qui. sex. 在 於 于".split()
)

FROM = frozenset("from von de da van od från fra expéditeur mittente lähettäjä 差出人 送信者 发件人 寄件者 寄件人".split())

# Labels that only a mail's header has: a table of a journey has "From:", "To:" and "Date:" as well.
TELLING = frozenset(
    [
        *"sent subject gesendet betreff enviado enviada asunto assunto envoyé objet inviato oggetto verzonden onderwerp".split(),
        *"wysłano wysłane temat skickat ämne sendt emne lähetetty aihe odesláno předmět".split(),
        *"送信日時 件名 发送时间 主题 寄件日期 主旨".split(),
    ]
)

HEADER = frozenset(
    [
        *FROM,
        *TELLING,
        *"to date cc bcc reply-to importance attachments organization an datum kopie antwort organisation para fecha à objet".split(),
        *"a data aan do dw till til dato kopi vedhæftet bijlage anhang anlagen 宛先 日時 日付 收件人 抄送 日期 收件者 副本".split(),
    ]
)

# Between dashes, as in "-----Original Message-----".
SEPARATORS = frozenset(
    (
        "original message|original appointment|forwarded message|ursprüngliche nachricht|originalnachricht|original-nachricht|"
        "weitergeleitete nachricht|mensaje original|mensaje reenviado|message d'origine|message original|message transféré|"
        "message initial|"
        "messaggio originale|messaggio inoltrato|oorspronkelijk bericht|doorgestuurd bericht|wiadomość oryginalna|oryginalna wiadomość|"
        "wiadomość przekazana dalej|treść przekazanej wiadomości|treść oryginalnej wiadomości|mensagem original|mensagem encaminhada|"
        "mensagem reencaminhada|ursprungligt meddelande|originalmeddelande|vidarebefordrat meddelande|oprindelig meddelelse|"
        "oprindelig besked|videresendt besked|videresendt meddelelse|opprinnelig melding|videresendt melding|"
        "元のメッセージ|転送メッセージ|転送されたメッセージ|原始邮件|邮件原件|原始郵件|原始信件|转发邮件|转发的消息|"
        "转发邮件信息|回复的原邮件|转发的邮件|轉寄郵件"
    ).split("|")
)

FORWARDED = tuple(
    (
        "begin forwarded message|anfang der weitergeleiteten nachricht|début du message réexpédié|début du message transféré|"
        "inicio del mensaje reenviado|inizio messaggio inoltrato|begin doorgestuurd bericht|początek przekazywanej wiadomości|"
        "início da mensagem encaminhada|início da mensagem reencaminhada|vidarebefordrat brev:|start på videresendt besked|"
        "転送されたメッセージ:|転送されたメッセージ：|开始转发的邮件|開始轉寄郵件|以下是轉寄的郵件|original message processed by david"
    ).split("|")
)

# A line that starts with one of these and names one of the products was written by the product.
SENT_FROM = tuple(
    (
        "sent from|sent via|sent with|sent using|get outlook|gesendet von|gesendet mit|von meinem|von meiner|"
        "diese nachricht wurde von meinem|holen sie sich outlook|laden sie outlook|outlook für|envoyé de|envoyé depuis|"
        "envoyé à partir|envoyé avec|télécharger outlook|obtenir outlook|obtenez outlook|enviado desde|enviado de|enviado do|"
        "enviado a partir|enviado con|enviado com|obtener outlook|descargar outlook|obter o outlook|baixar o outlook|inviato da|"
        "scarica outlook|ottieni outlook|verzonden v|verstuurd v|verzonden met|outlook voor|download outlook|wysłano z|wysłane z|"
        "pobierz |uzyskaj |skickat från|skickades från|hämta outlook|skaffa outlook|sendt fra|hent outlook|få outlook|lähetetty|"
        "odesláno z|iphoneから送信|私の|从我的|從我的|發自我的|发自我的|来自我的|获取 outlook|獲取 outlook|取得 outlook|从 |從 "
    ).split("|")
)
SENT_FROM_ENDS = ("から送信", "を入手", "傳送", "发送")
PRODUCTS = tuple(
    (
        "iphone|ipad|ios|android|galaxy|samsung|outlook|blackberry|huawei|xiaomi|nokia|windows|mail|correo|courrier|posta|poczta|e-post|"
        "yahoo|proton|gmx|web.de|spark|superhuman|phone|mobil|móvil|celular|telefon|teléfono|téléphone|smartphone|handy|"
        "tablet|手机|手機|メール"
    ).split("|")
)

# The whole line is one of these, apart from punctuation; what follows is a name and an address.
CLOSINGS = frozenset(
    (
        "best|best regards|kind regards|warm regards|warmest regards|regards|kindest regards|thanks and regards|thanks & regards|"
        "thanks and best regards|thanks and kind regards|all the best|best wishes|with best regards|with kind regards|with regards|"
        "sincerely|sincerely yours|yours sincerely|yours faithfully|yours truly|yours|respectfully|rgds|brgds|br|kr|warmly|"
        "have a nice day|have a great day|mit freundlichen grüßen|mit freundlichen grüssen|mit freundlichem gruß|"
        "mit freundlichem gruss|mit besten grüßen|mit besten grüssen|freundliche grüße|freundliche grüsse|viele grüße|viele grüsse|"
        "viele gruesse|beste grüße|beste grüsse|liebe grüße|liebe grüsse|lg|mfg|vg|gruß|grüße|gruss|grüsse|herzliche grüße|"
        "herzliche grüsse|schöne grüße|mit freundlichen gruessen|besten gruß|hochachtungsvoll|saludos|un saludo|saludos cordiales|"
        "un cordial saludo|atentamente|cordialmente|un abrazo|quedo a la espera|reciba un cordial saludo|cordialement|"
        "bien cordialement|très cordialement|bien à vous|salutations|salutations distinguées|sincères salutations|"
        "meilleures salutations|cordiales salutations|bonne journée|belle journée|bonne réception|cdlt|bien à toi|cordiali saluti|"
        "distinti saluti|saluti|un saluto|un cordiale saluto|a presto|buona giornata|met vriendelijke groet|"
        "met vriendelijke groeten|vriendelijke groet|vriendelijke groeten|hartelijke groet|hartelijke groeten|met hartelijke groet|"
        "met hartelijke groeten|groet|groeten|groetjes|mvg|z poważaniem|z powazaniem|pozdrawiam|pozdrowienia|serdecznie pozdrawiam|"
        "pozdrawiam serdecznie|z wyrazami szacunku|miłego dnia|atenciosamente|cumprimentos|com os melhores cumprimentos|"
        "melhores cumprimentos|abraço|abraços|um abraço|att|med vänlig hälsning|med vänliga hälsningar|vänliga hälsningar|"
        "vänlig hälsning|vänligen|hälsningar|bästa hälsningar|varma hälsningar|mvh|vh|med venlig hilsen|venlig hilsen|"
        "med vennlig hilsen|vennlig hilsen|hilsen|bedste hilsner|de bedste hilsner|dbh|kh|knus|hilsner|mange hilsner|"
        "mange hilsener|kærlig hilsen|ystävällisin terveisin|terveisin|s pozdravem|s úctou|以上、よろしくお願いいたします|"
        "よろしくお願いいたします|よろしくお願いします|"
        "宜しくお願い致します|よろしくお願い致します|宜しくお願いいたします|何卒よろしくお願いいたします|"
        "何卒よろしくお願い申し上げます|何卒宜しくお願い申し上げます|よろしくお願い申し上げます|"
        "どうぞよろしくお願いいたします|"
        "どうぞよろしくお願いします|引き続きよろしくお願いいたします|今後ともよろしくお願いいたします|敬具|草々|此致|敬礼|"
        "敬禮|祝好|顺祝商祺|順頌商祺|顺颂商祺|祝商祺|此致敬礼|祝您工作愉快|祝工作愉快|祝工作顺利"
    ).split("|")
)

# As above, but people also write them in the middle of a mail: what follows has to look like a name.
THANKS = frozenset(
    (
        "thanks|thank you|many thanks|thanks again|thanks in advance|thank you very much|thx|cheers|ta|ciao|danke|vielen dank|"
        "besten dank|danke im voraus|gracias|muchas gracias|gracias de antemano|merci|merci beaucoup|merci d'avance|"
        "merci par avance|grazie|grazie mille|bedankt|alvast bedankt|dank u|dank je|dziękuję|z góry dziękuję|obrigado|obrigada|"
        "muito obrigado|muito obrigada|tack|tack på förhand|tak|mange tak|på forhånd tak|děkuji|谢谢|謝謝"
    ).split("|")
)

# A paragraph that starts with one of these and holds one of the words below is a disclaimer.
NOTICES = tuple(
    (
        "disclaimer|confidential|confidentiality|privileged|caution|warning|important notice|legal notice|notice:|this e-mail|this email|"
        "this message|this communication|this mail|the information contained|the information in this|the contents of this|"
        "the content of this|if you are not the intended|if you have received this|please consider the environment|"
        "diese e-mail|diese nachricht|diese mail|hinweis|wichtiger hinweis|achtung|der inhalt dieser|"
        "este correo|este mensaje|aviso|advertencia|confidencialidad|ce message|ce courriel|cet e-mail|cet email|avis de confidentialité|"
        "questa e-mail|questo messaggio|avvertenza|le informazioni contenute|dit bericht|deze e-mail|waarschuwing|de informatie in|"
        "ta wiadomość|niniejsza wiadomość|uwaga|esta mensagem|este e-mail|detta meddelande|detta e-post|varning|observera|"
        "denne e-mail|denne meddelelse|denne mail|advarsel|bemærk|このメール|本メール|本邮件|免责声明|此邮件|本郵件"
    ).split("|")
)

LEGAL = (
    "confidential|privileged|intended recipient|intended solely|intended only|disclaimer|originated from outside|virus|scanned|"
    "before printing|external sender|vertraulich|confidencial|confidentiel|riservat|vertrouwelijk|poufn|konfident|konfidentiell|"
    "fortrolig|sekretess|機密|秘密|机密|保密|nicht der richtige adressat|destinatario|destinataire|destinatário|geadresseerde|adresata"
).split("|")
