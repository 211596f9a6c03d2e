"""The words by which mail programs mark quoted history, signatures and disclaimers, in twelve languages and some neighbours.

en de es fr it nl pl pt sv da ja zh, and Norwegian, Finnish and Czech where their words differ. All are lower case.
"""
# ruff: noqa: SIM905  (word lists are read as text, not as lists)

WROTE = (
    "wrote schrieb geschrieben escribió escribio écrit ecrit scritto schreef geschreven napisał napisała napisal pisze "
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

HEADER = frozenset(
    [
        *FROM,
        *"sent to subject date cc bcc reply-to importance attachments organization".split(),
        *"gesendet an betreff datum kopie antwort organisation".split(),
        *"enviado para asunto fecha envoyé à objet inviato a oggetto data verzonden aan onderwerp".split(),
        *"enviada assunto wysłano do temat dw skickat till ämne sendt til emne kopi vedhæftet lähetetty aihe".split(),
        *"送信日時 宛先 件名 日時 发送时间 收件人 主题 抄送 日期 寄件日期 收件者 主旨 副本".split(),
    ]
)

# Between dashes, as in "-----Original Message-----".
SEPARATORS = frozenset(
    (
        "original message|original appointment|forwarded message|ursprüngliche nachricht|originalnachricht|weitergeleitete nachricht|"
        "mensaje original|mensaje reenviado|message d'origine|message original|message transféré|message initial|messaggio originale|"
        "messaggio inoltrato|oorspronkelijk bericht|doorgestuurd bericht|wiadomość oryginalna|oryginalna wiadomość|"
        "wiadomość przekazana dalej|mensagem original|mensagem encaminhada|ursprungligt meddelande|originalmeddelande|"
        "vidarebefordrat meddelande|oprindelig meddelelse|videresendt besked|opprinnelig melding|元のメッセージ|転送メッセージ|"
        "原始邮件|邮件原件|原始郵件|转发邮件|轉寄郵件"
    ).split("|")
)

FORWARDED = tuple(
    (
        "begin forwarded message|anfang der weitergeleiteten nachricht|début du message réexpédié|inicio del mensaje reenviado|"
        "inizio messaggio inoltrato|begin doorgestuurd bericht|original message processed by david"
    ).split("|")
)

# The whole line is one of these, apart from a device's or program's name.
SENT_FROM = tuple(
    (
        "sent from my|sent from a|sent from mail for|sent from outlook|sent from yahoo|sent from proton|sent via|sent on the go|"
        "sent with|get outlook for|gesendet von|von meinem|diese nachricht wurde von meinem|holen sie sich outlook|envoyé de|envoyé depuis|"
        "télécharger outlook|obtenir outlook|enviado desde mi|enviado desde|enviado do meu|enviado de|enviado a partir|obtener outlook|"
        "obter o outlook|inviato da|scarica outlook|ottieni outlook|verzonden vanaf|verstuurd vanaf|verzonden met|outlook voor|"
        "wysłano z|wysłane z|pobierz outlook|skickat från|hämta outlook|sendt fra|hent outlook|lähetetty|odesláno z|"
        "iphoneから送信|私のiphoneから|从我的|發自我的|发自我的|来自我的"
    ).split("|")
)

# The whole line is one of these, apart from punctuation; what follows is a name and an address.
CLOSINGS = frozenset(
    (
        "best|best regards|kind regards|warm regards|warmest regards|regards|kindest regards|many thanks|thanks|thank you|"
        "thanks and regards|thanks & regards|thx|cheers|all the best|best wishes|with best regards|with kind regards|sincerely|"
        "sincerely yours|yours sincerely|yours faithfully|yours truly|respectfully|rgds|brgds|br|kr|ta|warmly|"
        "mit freundlichen grüßen|mit freundlichen grüssen|mit freundlichem gruß|mit besten grüßen|freundliche grüße|"
        "freundliche grüsse|viele grüße|viele grüsse|viele gruesse|beste grüße|beste grüsse|liebe grüße|lg|mfg|vg|gruß|grüße|gruss|"
        "herzliche grüße|schöne grüße|mit freundlichen gruessen|besten gruß|"
        "saludos|un saludo|saludos cordiales|un cordial saludo|atentamente|cordialmente|gracias|muchas gracias|"
        "cordialement|bien cordialement|bien à vous|salutations|salutations distinguées|meilleures salutations|merci|"
        "bonne journée|bonne réception|cdlt|bien à toi|"
        "cordiali saluti|distinti saluti|saluti|grazie|un saluto|a presto|"
        "met vriendelijke groet|met vriendelijke groeten|vriendelijke groet|hartelijke groet|hartelijke groeten|groet|groeten|groetjes|"
        "mvg|bedankt|dank u|"
        "z poważaniem|z powazaniem|pozdrawiam|pozdrowienia|z wyrazami szacunku|dziękuję|"
        "atenciosamente|cumprimentos|com os melhores cumprimentos|melhores cumprimentos|abraço|abraços|obrigado|obrigada|att|"
        "med vänlig hälsning|med vänliga hälsningar|vänliga hälsningar|vänlig hälsning|hälsningar|bästa hälsningar|mvh|vh|tack|"
        "med venlig hilsen|venlig hilsen|med vennlig hilsen|vennlig hilsen|hilsen|bedste hilsner|de bedste hilsner|dbh|kh|knus|tak|"
        "på forhånd tak|hilsner|ystävällisin terveisin|terveisin|s pozdravem|s úctou|děkuji|"
        "以上、よろしくお願いいたします|よろしくお願いいたします|よろしくお願いします|宜しくお願い致します|敬具|"
        "此致|敬礼|谢谢|祝好|顺祝商祺|謝謝|此致敬礼"
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
